import pytest

from cream_mm.datasets.label_table import is_label_table, read_label_table


def make(root, files, tables):
    """Empty files by these names, which is all that a table's reader looks at, and tables."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name, text in tables.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(root)


def labels_of(found, split='all'):
    """{path: names of its labels}"""
    return {
        image.path: [found.classes[label] for label in image.labels]
        for image in found.splits[split]
    }


ABC = {'a.jpg': ['cat'], 'b.jpg': ['dog'], 'c.jpg': ['cat']}
FORMS = dict(
    header='filename,label\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n',
    no_header='a.jpg,cat\nb.jpg,dog\nc.jpg,cat\n',
    label_first='label,file\ncat,a.jpg\ndog,b.jpg\ncat,c.jpg\n',
    label_first_no_header='cat,a.jpg\ndog,b.jpg\ncat,c.jpg\n',
    semicolons='image;class\na.jpg;cat\nb.jpg;dog\nc.jpg;cat\n',
    tabs='image\tclass\na.jpg\tcat\nb.jpg\tdog\nc.jpg\tcat\n',
    blanks='a.jpg cat\nb.jpg dog\nc.jpg cat\n',
    windows=b'\xef\xbb\xbffilename, label \r\na.jpg, cat \r\nb.jpg,dog\r\nc.jpg,cat\r\n\r\n',
    utf16='filename,label\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n'.encode('utf-16'),
    ids='id,breed\na,cat\nb,dog\nc,cat\n',
    other_columns=(
        'width,img_path,height,species\n640,x/a.jpg,480,cat\n640,x/b.jpg,480,dog\n'
        '320,x/c.jpg,1,cat\n'
    ),
    unknown_names='pic,what\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n',
    index_column=',filename,label\n0,a.jpg,cat\n1,b.jpg,dog\n2,c.jpg,cat\n',
    one_hot='filename, cat, dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,1,0\n',
    true_and_false='filename,cat,dog\na.jpg,True,False\nb.jpg,False,True\nc.jpg,True,False\n',
    number_and_name='file,class_id,class_name\na.jpg,0,cat\nb.jpg,1,dog\nc.jpg,0,cat\n',
    windows_paths='file,label\nC:\\me\\a.jpg,cat\nC:\\me\\b.jpg,dog\nC:\\me\\c.jpg,cat\n',
    case='file,label\nA.JPG,cat\nB.JPG,dog\nC.JPG,cat\n',
    quotes='"file","label"\n"a.jpg","cat"\n"b.jpg","dog"\n"c.jpg","cat"\n',
)


@pytest.mark.parametrize('form', FORMS)
def test_one_label_in_each_form(tmp_path, form):
    root = make(tmp_path, [f'images/{name}' for name in ABC], {'labels.csv': FORMS[form]})
    assert is_label_table(root)
    found = read_label_table(root)
    assert labels_of(found) == {f'images/{name}': own for name, own in ABC.items()}
    assert (found.classes, found.is_multi, list(found.splits)) == (['cat', 'dog'], False, ['all'])


MANY = {'a.jpg': ['cat', 'dog'], 'b.jpg': ['dog'], 'c.jpg': ['cat'], 'd.jpg': ['cat', 'dog']}
LISTS = dict(
    bars='file,labels\na.jpg,cat|dog\nb.jpg,dog\nc.jpg,cat\nd.jpg,dog|cat\n',
    semicolons='file,labels\na.jpg,cat;dog\nb.jpg,dog\nc.jpg,cat\nd.jpg,dog; cat\n',
    commas='file,labels\na.jpg,"cat,dog"\nb.jpg,dog\nc.jpg,cat\nd.jpg,"dog, cat"\n',
    commas_in_semicolons='file;labels\na.jpg;cat,dog\nb.jpg;dog\nc.jpg;cat\nd.jpg;dog,cat\n',
    bare_commas='file,labels\na.jpg,cat,dog\nb.jpg,dog\nc.jpg,cat\nd.jpg,dog,cat\n',
    blanks='file,tags\na.jpg,cat dog\nb.jpg,dog\nc.jpg,cat\nd.jpg,dog cat\n',
    brackets=(
        "file,labels\na.jpg,\"['cat', 'dog']\"\nb.jpg,['dog']\nc.jpg,['cat']\n"
        "d.jpg,\"['dog', 'cat']\"\n"
    ),
    one_hot='filename, cat, dog\na.jpg, 1, 1\nb.jpg, 0, 1\nc.jpg, 1, 0\nd.jpg, 1, 1\n',
    minus_one='filename,cat,dog\na.jpg,1,1\nb.jpg,-1,1\nc.jpg,1,-1\nd.jpg,1,1\n',
)


@pytest.mark.parametrize('form', LISTS)
def test_several_labels_in_each_form(tmp_path, form):
    root = make(tmp_path, MANY, {'labels.csv': LISTS[form]})
    found = read_label_table(root)
    assert is_label_table(root)
    assert labels_of(found) == MANY
    assert found.classes == ['cat', 'dog'] and found.is_multi
    assert any('rows have several labels' in note for note in found.notes)
