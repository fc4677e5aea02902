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


ROWS = 'file,label\na.jpg,cat\nb.jpg,dog\n'


def test_splits_by_column(tmp_path):
    table = (
        'file,label,split\na.jpg,cat,Training\nb.jpg,dog,train\nc.jpg,cat,dev\nd.jpg,cat,extra\n'
    )
    found = read_label_table(make(tmp_path, MANY, {'data.csv': table}))
    assert labels_of(found, 'train') == {'a.jpg': ['cat'], 'b.jpg': ['dog']}
    assert labels_of(found, 'val') == {'c.jpg': ['cat']}
    assert list(found.splits) == ['train', 'val']
    assert any('1 images of extra are not used' in note for note in found.notes)


def test_splits_by_a_flag(tmp_path):
    table = 'name,label,is_valid\na.jpg,cat,False\nb.jpg,dog,True\n'
    found = read_label_table(make(tmp_path, ['a.jpg', 'b.jpg'], {'labels.csv': table}))
    assert labels_of(found, 'train') == {'a.jpg': ['cat']}
    assert labels_of(found, 'val') == {'b.jpg': ['dog']}


def test_splits_by_file_take_the_image_of_their_folder(tmp_path):
    images = ['train/1.jpg', 'train/2.jpg', 'test/1.jpg']
    tables = {
        'train.csv': 'id,label\n1,cat\n2,dog\n',
        'test.csv': 'id,label\n1,dog\n',
        'sample_submission.csv': 'id,label\n1,cat\n',
    }
    found = read_label_table(make(tmp_path, images, tables))
    assert labels_of(found, 'train') == {'train/1.jpg': ['cat'], 'train/2.jpg': ['dog']}
    assert labels_of(found, 'test') == {'test/1.jpg': ['dog']}
    assert found.find('val') == 'test'


def test_roboflow(tmp_path):
    images = ['train/a.jpg', 'train/b.jpg', 'valid/a.jpg']
    tables = {
        'train/_classes.csv': 'filename, cat, dog, cow\na.jpg, 1, 0, 0\nb.jpg, 0, 1, 0\n',
        'valid/_classes.csv': 'filename, cat, dog, cow\na.jpg, 0, 1, 0\n',
    }
    found = read_label_table(make(tmp_path, images, tables))
    assert labels_of(found, 'train') == {'train/a.jpg': ['cat'], 'train/b.jpg': ['dog']}
    assert labels_of(found, 'val') == {'valid/a.jpg': ['dog']}
    assert any('columns without a one are no classes: cow' in note for note in found.notes)


def test_lists_of_imagenet_with_blanks_and_names_of_classes(tmp_path):
    images = ['train/n01/my cat 1.JPEG', 'train/n02/2.JPEG', 'val/my dog.JPEG']
    tables = {
        'meta/train.txt': 'n01/my cat 1.JPEG 0\nn02/2.JPEG 1\n',
        'meta/val.txt': 'my dog.JPEG 1\n',
        'meta/classes.txt': 'cat\ndog\n',
    }
    found = read_label_table(make(tmp_path, images, tables))
    assert labels_of(found, 'train') == {
        'train/n01/my cat 1.JPEG': ['cat'], 'train/n02/2.JPEG': ['dog'],
    }  # fmt: skip
    assert labels_of(found, 'val') == {'val/my dog.JPEG': ['dog']}


def test_a_list_with_the_label_before_the_path(tmp_path):
    images = ['a 1.jpg', 'b.jpg', 'c.jpg', 'd.jpg']
    text = '0 a 1.jpg\n1 b.jpg\n0 c.jpg\n1 d.jpg\n'
    found = read_label_table(make(tmp_path, images, {'list.txt': text}))
    assert labels_of(found) == {
        'a 1.jpg': ['0'], 'b.jpg': ['1'], 'c.jpg': ['0'], 'd.jpg': ['1'],
    }  # fmt: skip


def test_numbers_are_sorted_as_such_and_gaps_are_closed(tmp_path):
    text = 'file,label\na.jpg,99\nb.jpg,0\nc.jpg,9\n'
    found = read_label_table(make(tmp_path, ABC, {'labels.csv': text}))
    assert found.classes == ['0', '9', '99']
    assert [image.labels for image in found.images('train')] == [(2,), (0,), (1,)]


def test_the_table_itself_may_be_named(tmp_path):
    tables = {'one.csv': ROWS, 'two.csv': ROWS.replace('cat', 'cow')}
    root = make(tmp_path, ABC, tables)
    with pytest.raises(ValueError, match='several tables of labels: .*Name one: .*data_root='):
        read_label_table(root)
    assert is_label_table(root) and is_label_table(tmp_path / 'two.csv')
    assert read_label_table(tmp_path / 'two.csv').classes == ['cow', 'dog']


def test_rows_that_stand_twice_and_images_without_a_row(tmp_path):
    found = read_label_table(make(tmp_path, MANY, {'labels.csv': ROWS + 'a.jpg,cat\nc.jpg,\n'}))
    assert labels_of(found) == {'a.jpg': ['cat'], 'b.jpg': ['dog']}
    lines = '\n'.join(found.notes)
    assert '1 rows stand twice, and are taken once: line 4' in lines
    assert '1 images have no label, and are left out: c.jpg' in lines
    assert 'are in no row with a label, and not used: c.jpg, d.jpg' in lines


def test_two_labels_of_one_image(tmp_path):
    root = make(tmp_path, ABC, {'labels.csv': ROWS + 'a.jpg,dog\n'})
    message = (
        r'1 images have two labels: a.jpg \(cat in line 2, dog in .*line 4\).*multi_label=True'
    )
    with pytest.raises(ValueError, match=message):
        read_label_table(root)
    found = read_label_table(root, multi_label=True)
    assert labels_of(found) == {'a.jpg': ['cat', 'dog'], 'b.jpg': ['dog']} and found.is_multi


def test_a_row_without_a_one(tmp_path):
    text = 'file,cat,dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,0,0\n'
    root = make(tmp_path, ABC, {'labels.csv': text})
    with pytest.raises(ValueError, match=r'1 rows have no one in any column: .*line 4'):
        read_label_table(root)
    found = read_label_table(root, multi_label=True)
    assert labels_of(found)['c.jpg'] == []


def test_names_with_commas_stay_one_label(tmp_path):
    text = 'file,label\na.jpg,"tench, Tinca"\nb.jpg,"cock, Gallus"\nc.jpg,"tench, Tinca"\n'
    found = read_label_table(make(tmp_path, ABC, {'labels.csv': text}))
    assert found.classes == ['cock, Gallus', 'tench, Tinca'] and not found.is_multi


def test_names_that_differ_in_case_alone_are_said(tmp_path):
    text = 'file,label\na.jpg,Cat\nb.jpg,cat\nc.jpg,dog\n'
    found = read_label_table(make(tmp_path, ABC, {'labels.csv': text}))
    assert found.classes == ['Cat', 'cat', 'dog']
    said = "1 groups of class names differ in case alone, and are taken as different: 'Cat' (1"
    assert any(said in note for note in found.notes)


def test_an_image_in_two_splits_is_said(tmp_path):
    tables = {'train.csv': ROWS, 'val.csv': 'file,label\na.jpg,cat\n'}
    found = read_label_table(make(tmp_path, ABC, tables))
    assert any('1 images are in several splits' in n and 'a.jpg' in n for n in found.notes)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('file,label\nx.jpg,cat\nb.jpg,dog\n', r'1 of 2 images are not below .*: x.jpg \(.*line 2'),
        ('file,label\na.jpg,cat\ntwice.jpg,dog\n', r'1 of 2 names stand for several .*x/twice.jpg'),
        ('file,label\na.jpg,caf\xe9\n'.encode('latin-1'), 'line 2: not UTF-8 text .*Save it as'),
        ('file,label\na.jpg,cat\n,dog\n', 'line 3: no image is named'),
        ('file,cat,dog\na.jpg,1,0\nb.jpg,0,1\n' + 'a.jpg,1,0\n' * 200 + 'c.jpg,1,2\n',
         r"line 204: '2' in the column 'dog' is neither 1 nor 0"),
        ('file,label,split\na.jpg,cat,test\nb.jpg,dog,test\n', "of the column 'split' stands for"),
        ('file,sort,kind\na.jpg,x,m\nb.jpg,x,n\nc.jpg,y,m\na.jpg,y,n\n',
         "which column holds the label.*'file', 'sort', 'kind'.*label_column=NAME"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(tmp_path, text, message):
    images = ['a.jpg', 'b.jpg', 'c.jpg', 'x/twice.jpg', 'y/twice.jpg']
    root = make(tmp_path, images, {'labels.csv': text})
    with pytest.raises(ValueError, match=message) as error:
        read_label_table(root)
    assert root in str(error.value)


def test_the_column_may_be_named(tmp_path):
    text = 'file,sort,kind\na.jpg,x,m\nb.jpg,x,n\nc.jpg,y,m\n'
    root = make(tmp_path, ABC, {'labels.csv': text})
    assert read_label_table(root, label_column='kind').classes == ['m', 'n']
    with pytest.raises(ValueError, match="it has no column 'colour'"):
        read_label_table(root, label_column='colour')


def test_other_sets_are_no_tables(tmp_path):
    tables = {
        'boxes.csv': 'filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,cat,1,1,2,2\n',
        'more.csv': 'a.jpg,10,20,30,40,cat\nb.jpg,10,20,30,40,dog\n',
        'train.txt': 'images/a.jpg\nimages/b.jpg\n',
        'classes.txt': 'cat\ndog\n',
        'README.txt': 'These are pictures, such as a.jpg, of cats.\nAnd of dogs\n',
        'labels/a.txt': '0 0.5 0.5 0.2 0.2\n',
    }
    assert not is_label_table(make(tmp_path, ABC, tables))
    with pytest.raises(FileNotFoundError, match='no table of labels in'):
        read_label_table(tmp_path)
