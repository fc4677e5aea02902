"""docs/model_zoo.md and the metafiles say what the library says."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.registry import MODELS, init_default_scope
from modelindex.load_model_index import load as load_model_index

from cream_mm.apis.count_model import count_model
from cream_mm.config.load import load_config
from cream_mm.costs import build_cost_model
from cream_mm.models import CreamNet
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.models.backbones.published import published_nets
from cream_mm.structures import Arch

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'model_zoo.md'
DRIVE = 'https://drive.google.com/drive/folders/1NLGAbBF9bA1IUAxKlk2VjgRXhr6RHvRW'
DETECTION_CONFIGS = sorted(
    path.stem for path in (ROOT / 'configs' / 'detection').glob('*.py')
    # Cells of a benchmark, and those of a search at its scale: no published models.
    if not path.stem.startswith(('retinanet_nb201', 'retinanet_nao'))
)  # fmt: skip
CREAM = [name for name in published_nets if name.startswith('cream-')]
DNA = [name for name in published_nets if name.startswith('dna-')]
LITE = [name for name in published_nets if name.startswith('lite')]
# GENIUS (arXiv 2304.10970), Table 6: FLOPs, AP, AP50, AP75, APs, APm, APl, top-1.
GENIUS_TABLE_6 = {
    'MobileNetV2': (300, 28.3, 46.7, 29.3, 14.8, 30.7, 38.1, 72.0),
    'MobileNetV3': (219, 29.9, 49.3, 30.8, 14.9, 33.3, 41.1, 75.2),
    'MnasNet-A2': (340, 30.5, 50.2, 32.0, 16.6, 34.1, 41.1, 75.6),
    'SPOS (Single-Path)': (365, 30.7, 49.8, 32.2, 15.4, 33.9, 41.6, 75.0),
    'FairNAS-C': (325, 31.2, 50.8, 32.7, 16.3, 34.4, 42.3, 76.7),
    'MixNet-M': (360, 31.3, 51.7, 32.4, 17.0, 35.0, 41.9, 77.0),
    'MixPath-A': (349, 31.5, 51.3, 33.2, 17.4, 35.3, 41.8, 76.9),
    'FairNAS-A': (392, 32.4, 52.4, 33.9, 17.2, 36.3, 43.2, 77.5),
    'Cream-S': (287, 33.2, 53.6, 34.9, 18.2, 36.6, 44.4, 77.6),
}
# NNI's documentation of Cream: top-1 of the six networks.
NNI_TOP1 = {
    '8 GPUs': (53.7, 65.8, 72.1, 76.7, 78.9, 79.4),
    '16 GPUs': (53.8, 66.5, 72.8, 77.6, 79.2, 80.0),
}


def read_tables(text):
    """Every Markdown table as a list of rows, a row as a dict of column name to plain text."""
    tables = []
    for block in re.findall(r'(?:^ *\|.*\|\n)+', text, flags=re.MULTILINE):
        lines = [
            [cell.strip().replace('`', '').replace('**', '') for cell in line.split('|')[1:-1]]
            for line in block.strip().splitlines()
        ]
        header, _, *rows = lines
        assert all(len(row) == len(header) for row in rows), block
        tables.append([dict(zip(header, row)) for row in rows])
    return tables


@pytest.fixture(scope='module')
def tables():
    return read_tables(PAGE.read_text())


def published_name(cell):
    """`cream-287m (Cream-S)` without the paper's name for it."""
    return cell.split(' ')[0]


def classifier_cost(name):
    arch, space, _ = resolve_arch(name)
    return build_cost_model(space, published_nets[name].input_size).cost(arch)


def backbone_cost(name, shape=(800, 1280), last=None):
    """Parameters and MACs of a network up to ``blocks.{last}``, without the head."""
    arch, space, _ = resolve_arch(name)
    if last is not None and last <= space.num_stages:
        space = replace(space, final_channels=0)
    rows = build_cost_model(space, shape, head=None).layer_table(arch)
    return sum(row['params'] for row in rows), sum(row['macs'] for row in rows)


def detector_cost(name, shape=(800, 1280)):
    """Of a whole detector, without computing anything; two-stage ones with 1000 proposals."""
    cfg = load_config(str(ROOT / f'configs/detection/{name}.py'), check_data=False)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).to('meta').eval()
    image = torch.empty(1, 3, *shape, device='meta')

    def run():
        if not hasattr(model, 'roi_head'):
            return model(image, mode='tensor')
        model.rpn_head(model.extract_feat(image))
        extractor = model.roi_head.bbox_roi_extractor
        size = extractor.roi_layers[0].output_size
        return model.roi_head.bbox_head(image.new_empty(1000, extractor.out_channels, *size))

    return count_model(model, run)


@pytest.fixture(scope='module')
def detector_costs():
    return {name: detector_cost(name) for name in DETECTION_CONFIGS}


# ---- docs/model_zoo.md ---------------------------------------------------------------------------


def test_classification_table(tables):
    table = next(t for t in tables if 'official checkpoint' in t[0])
    assert [published_name(row['name']) for row in table] == CREAM
    for row in table:
        name = published_name(row['name'])
        net, cost = published_nets[name], classifier_cost(name).in_units()
        assert row['input'] == str(net.input_size)
        assert row['params (M)'] == f'{cost["params_m"]:.3f}'
        assert row['MACs (M)'] == f'{cost["macs_m"]:.2f}'
        assert row['published FLOPs (M)'] == f'{cost["published_flops_m"]:.2f}'
        assert row['published top-1 / top-5 (%)'] == f'{net.top1} / {net.top5}'
        assert row['official checkpoint'] == net.checkpoint
        cfg = load_config(str(ROOT / f'configs/cream/retrain_{name}.py'), check_data=False)
        assert f'](../configs/cream/retrain_{name}.py)' in row['config']
        assert cfg.model.backbone.arch == name and cfg.input_size == net.input_size


def test_nni_table(tables):
    table = next(t for t in tables if '287M' in t[0])
    found = {row.pop(''): tuple(map(float, row.values())) for row in map(dict, table)}
    assert found == NNI_TOP1
    assert [f'cream-{n.lower()}' for n in list(table[0])[1:]] == CREAM


def test_architecture_table(tables):
    table = next(t for t in tables if 'official list, where it differs' in t[0])
    assert [row['name'] for row in table] == CREAM
    for row in table:
        net = published_nets[row['name']]
        assert row['architecture'] == str(Arch.from_list(net.arch))
        official = str(Arch.from_list(net.official_arch)) if net.official_arch != net.arch else ''
        assert row['official list, where it differs'] == official


def test_tables_of_dna(tables):
    table = next(t for t in tables if t[0].get('name') == DNA[0] and 'params (M)' in t[0])
    assert [row['name'] for row in table] == DNA
    for row in table:
        net, cost = published_nets[row['name']], classifier_cost(row['name']).in_units()
        assert row['input'] == str(net.input_size)
        assert row['params (M)'] == f'{cost["params_m"]:.3f}'
        assert row['MACs (M)'] == f'{cost["macs_m"]:.2f}'
        assert row['published FLOPs (M)'] == f'{cost["published_flops_m"]:.2f}'
        assert row['published top-1 / top-5 (%)'] == f'{net.top1} / {net.top5}'
    table = next(t for t in tables if 'widths of the blocks' in t[0])
    assert [row['name'] for row in table] == DNA
    for row in table:
        arch, space = published_nets[row['name']].network()
        assert row['architecture'] == str(arch)
        assert row['widths of the blocks'] == ', '.join(map(str, space.widths))
    said = ' '.join(str(choice).replace(' ', '') for choice in space.choices)
    assert f'(kernel, expansion) {said}.' in PAGE.read_text()


def test_table_of_lite(tables):
    table = next(t for t in tables if 'weights: package' in t[0])
    assert [row['name'] for row in table] == LITE
    for row in table:
        net, cost = published_nets[row['name']], classifier_cost(row['name']).in_units()
        assert (row['input'], row['crop']) == (str(net.input_size), str(net.crop_pct))
        assert row['params (M)'] == f'{cost["params_m"]:.3f}'
        assert row['MACs (M)'] == f'{cost["macs_m"]:.2f}'
        assert row['published top-1'] == 'not known here' and net.top1 is None
        assert row['weights: package'] == net.package
        extras = (ROOT / 'setup.cfg').read_text().partition('pretrained =')[2].partition('#')[0]
        assert re.findall(r'[\w-]+-model', extras) == [published_nets[n].package for n in LITE]


def test_published_detection_table(tables):
    table = next(t for t in tables if 'AP75' in t[0])
    columns = ('FLOPs (M)', 'AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'top-1 (%)')
    found = {row['backbone']: tuple(float(row[c]) for c in columns) for row in table}
    assert found == GENIUS_TABLE_6


def test_detection_configs_table(tables, detector_costs):
    table = next(t for t in tables if 'detector GMACs' in t[0])
    links = [re.fullmatch(r'\[(.+)\.py\]\((.+)\)', row['config']) for row in table]
    assert sorted(link[1] for link in links) == DETECTION_CONFIGS
    for row, link in zip(table, links):
        assert link[2] == f'../configs/detection/{link[1]}.py'
        cfg = load_config(str(ROOT / link[2][3:]), check_data=False)
        assert row['backbone'] == cfg.model.backbone.arch
        params, macs = backbone_cost(row['backbone'], last=cfg.model.backbone.out_indices[-1])
        assert row['backbone params (M)'] == f'{params / 1e6:.3f}'
        assert row['backbone GMACs'] == f'{macs / 1e9:.2f}'
        cost = detector_costs[link[1]]
        assert row['detector params (M)'] == f'{cost.params / 1e6:.2f}'
        assert row['detector GMACs'] == f'{cost.macs / 1e9:.2f}'


def test_numbers_in_the_text():
    text = PAGE.read_text()
    macs = detector_cost('rtmdet_cream-287m_8xb32-300e_coco', (640, 640)).macs
    assert f'at 640 x 640, where the whole detector has {macs / 1e9:.2f} GMACs' in text.replace(
        '\n', ' '
    )
    for code in re.findall(r'```python\n(.+?)```', text, flags=re.DOTALL):
        values = {}
        if 'build_cost_model' not in code:
            continue
        exec(code, values)
        assert (values['params'], values['macs']) == backbone_cost('cream-287m')


def test_by_table_is_what_the_backbone_has():
    for name in published_nets:
        with torch.device('meta'):
            net = CreamNet(name)
            image = torch.empty(1, 3, 800, 1280)
        cost = count_model(net.eval(), lambda net=net, image=image: net(image))
        assert (cost.params, cost.macs) == backbone_cost(name)


def test_what_the_page_names_is_there():
    text = PAGE.read_text()
    for link in re.findall(r'\]\(([^)]+)\)', text):
        if not link.startswith('http'):
            assert (PAGE.parent / link).is_file(), link
    for path in re.findall(r'(?<![\w/.])(?:tools|configs|cream_mm|tests)/[\w./-]+\.\w+', text):
        assert (ROOT / path).is_file(), path
    assert DRIVE in text


def test_nothing_is_claimed_as_measured_here(tables):
    """A value in these columns needs a training; whoever has one changes this test."""
    cells = [row[c] for table in tables for row in table for c in row if 'with this library' in c]
    assert cells and not any(cells)


# ---- model-index.yml -----------------------------------------------------------------------------


@pytest.fixture(scope='module')
def metafiles():
    """Models of each metafile by name."""
    files = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert sorted(files) == sorted(
        path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/**/metafile.yml')
    )
    content = {}
    for file in files:
        parsed = yaml.safe_load((ROOT / file).read_text())
        collections = {c['Name']: c for c in parsed['Collections']}
        assert all((ROOT / c['README']).is_file() for c in collections.values())
        assert all(m['In Collection'] in collections for m in parsed['Models'])
        assert all((ROOT / m['Config']).is_file() for m in parsed['Models'])
        content[Path(file).parent.name] = {m['Name']: m for m in parsed['Models']}
    return content


def test_classification_metafile(metafiles):
    models = metafiles['cream']
    assert list(models) == [f'{name}_3rdparty_in1k' for name in CREAM]
    for name, model in zip(CREAM, models.values(), strict=True):
        net = published_nets[name]
        cost = classifier_cost(name)
        assert model['Metadata'] == {
            'FLOPs': cost.macs,
            'Published FLOPs': cost.published_flops,
            'Parameters': cost.params,
            'Input Size': net.input_size,
            'Results From': 'the authors; not reproduced here',
        }
        (result,) = model['Results']
        assert result['Metrics'] == {'Top 1 Accuracy': net.top1, 'Top 5 Accuracy': net.top5}
        assert result['Task'] == 'Image Classification' and result['Dataset'] == 'ImageNet-1k'
        assert model['Config'] == f'configs/cream/retrain_{name}.py'
        assert model['Weights'] is None
        assert model['Converted From'] == dict(
            Weights=DRIVE, Code='https://github.com/microsoft/Cream'
        )


def test_detection_metafile(metafiles, detector_costs):
    models = metafiles['detection']
    assert sorted(models) == DETECTION_CONFIGS
    for name, model in models.items():
        assert model['Config'] == f'configs/detection/{name}.py'
        cfg = load_config(str(ROOT / model['Config']), check_data=False)
        cost, metadata = detector_costs[name], model['Metadata']
        assert (metadata['FLOPs'], metadata['Parameters']) == (cost.macs, cost.params)
        assert metadata['Epochs'] == cfg.max_epochs
        assert model['Weights'] is None
        if name == 'retinanet_cream-287m_fpn_1x_coco':
            (result,) = model['Results']
            assert result['Metrics'] == {'box AP': GENIUS_TABLE_6['Cream-S'][1]}
            assert 'not reproduced here' in metadata['Results From']
        else:
            assert model['Results'] is None and 'Results From' not in metadata


def test_openmmlab_reads_the_index(metafiles, monkeypatch):
    monkeypatch.chdir(ROOT)  # as mim does
    index = load_model_index('model-index.yml')
    index.build_models_with_collections()
    names = {model.name for model in index.models}
    assert names == {name for models in metafiles.values() for name in models}
    assert os.path.isfile(index.models[0].full_model.readme)
