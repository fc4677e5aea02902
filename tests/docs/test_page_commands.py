"""Each command of README and docs/ is taken by what it calls, and something runs it.

The slow test runs those of tools/ as they stand, page by page, with tiny values behind them. What
it leaves out is in ``ELSEWHERE``, with the file that runs it.
"""

import configparser
import os
import re
import shlex
import shutil
import sys
import traceback
from importlib import import_module
from pathlib import Path

import pytest
from page_commands import PAGES, ROOT, commands_of

from cream_mm.config.load import load_config

COMMANDS = [command for page in PAGES for command in commands_of(page)]
TOOLS = [command for command in COMMANDS if command.tool]
OTHERS = [command for command in COMMANDS if not command.tool]
# What a command matches; the file that runs it; what stands there.
ELSEWHERE = (
    (r'^(torchrun|srun) ', 'tests/engine/test_distributed.py', 'launch'),
    (r'^torchrun .*--resume', 'benchmarks/elastic_restart.py', '--max-restarts'),
    (r'MMDET/|MMPRETRAIN/', 'tests/family/test_their_tools.py', 'run_tool'),
    (r'^python (-m cream_mm )?SCRIPT', 'tests/test_main.py', 'cream_mm'),
    (r'^python -c ', 'tests/models/backbones/test_published_weights.py', "'lite0'"),
    (r'^make test', '.ci/run', 'make test'),
    (r'^make docs', '.ci/run', 'make docs'),
    (r'^make (setup|demo|help)', 'Makefile', 'demo.py'),
    (r'(tools/|cream-mm )latency|--latency latency.json', 'benchmarks/latency.py', 'latency.py'),
    (r'search .*--latency \d', 'tests/commands/test_search_data.py', '--latency'),
    (r'latency=\w+.json', 'tests/config/test_latency_budget.py', 'latency='),
    (r'tracker=', 'tests/engine/test_trackers.py', 'tracker'),
    (r'tools/compare.py|cream-mm compare', 'benchmarks/photos.py', 'cream_mm.apis.compare'),
    (r'export_onnx|cream-mm onnx', 'tests/deploy/test_export_folder.py', 'export('),
    (r'run_onnx', 'tests/deploy/test_run_onnx.py', 'run_onnx'),
    (r'doctor', 'tests/commands/test_doctor.py', 'doctor'),
    (r'prepare_digits', 'tests/datasets/test_digits.py', 'write_digit'),
    # Of a log of some hundred steps.
    (r'--strategy training_effects', 'tests/engine/loops/test_search_loop.py', 'write_log('),
    (r'rank_correlation', 'tests/commands/test_trust_tools.py', 'rank_correlation.py'),
    (r'configs/demo/search_retinanet_digits', 'benchmarks/detector_search.py', 'search_retinanet'),
)


def other_runner(command):
    """The entry of ``ELSEWHERE`` for a command, or None."""
    return next((entry for entry in ELSEWHERE if re.search(entry[0], command.text)), None)


def ids(commands):
    return [f'{command.page}: {command.text}'[:100] for command in commands]


def is_whole(command):
    """Whether nothing is left out of it, as by ``...``."""
    return '...' not in command.words


WHOLE = [command for command in TOOLS if is_whole(command)]


@pytest.mark.parametrize('command', WHOLE, ids=ids(WHOLE))
def test_its_tool_takes_it(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arg in command.args:
        if re.fullmatch(r'(work_dirs|data)(/\w+)+', arg):
            (tmp_path / arg).mkdir(parents=True, exist_ok=True)
    module = import_module(f'cream_mm.commands.{command.tool}')
    try:
        module.parse_args(command.args)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def config_and_options(command):
    """The config of this repository that a command names, and what is set in it."""
    args = [re.sub('^cream_mm::', 'configs/', arg) for arg in command.args]
    names = [arg for arg in args if re.fullmatch(r'configs/.+\.py', arg)]
    if not names or not is_whole(command):
        return None
    args = import_module(f'cream_mm.commands.{command.tool}').parse_args(command.args)
    options = dict(getattr(args, 'cfg_options', None) or {})
    return names[0], tuple(sorted((key, str(value)) for key, value in options.items())), options


def test_its_config_takes_its_values():
    seen = {}
    for command in TOOLS:
        if found := config_and_options(command):
            name, key, options = found
            seen.setdefault((name, key), options)
    assert len(seen) > 15
    for (name, _), options in seen.items():
        # Files that a search or a measurement has to write first.
        # Trackers are packages of their own: test_tracker.py.
        given = {k: v for k, v in options.items() if k not in ('start', 'latency', 'tracker')}
        if 'budget.latency_ms' in given:
            del given['budget.latency_ms']
        cfg = load_config(str(ROOT / name), given, check_data=False)
        if 'data_root' in given:
            assert cfg.data_root == given['data_root']


def extras():
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    return set(parser['options.extras_require'])


@pytest.mark.parametrize('command', OTHERS, ids=ids(OTHERS))
def test_what_is_no_tool_is_there(command):
    head, *rest = command.words
    text = command.text
    if head in ('pip', 'uv'):
        for names in re.findall(r'\.\[([\w,]+)\]', text):
            assert set(names.split(',')) <= extras()
        for name in re.findall(r'constraints/[\w.]+', text):
            assert (ROOT / name).is_file()
    elif rest[0].startswith('benchmarks/'):
        script = ROOT / rest[0]
        code = ''.join(path.read_text() for path in {script, *script.parent.glob('*.py')})
        for option in (word for word in rest[1:] if word.startswith('--')):
            assert f"'{option}'" in code or f'"{option}"' in code, option
    else:
        assert head == 'git' or other_runner(command), f'nothing runs it: {text}'


def test_those_that_run_the_others_are_there():
    for pattern, path, word in ELSEWHERE:
        assert word in (ROOT / path).read_text(), (pattern, path)
        assert any(re.search(pattern, command.text) for command in COMMANDS), pattern


# ---- the commands of tools/, run -----------------------------------------------------------------

# In this order: later pages take what these have left.
FIRST = (
    'docs/getting_started.md', 'docs/photos.md', 'README.md', 'docs/model_zoo.md', 'docs/spos.md',
)  # fmt: skip
STORIES = [*FIRST, *sorted({command.page for command in TOOLS} - set(FIRST))]
PLACEHOLDERS = {
    'CONFIG': 'configs/spos/search_imagenet.py',
    'DIR': 'data/flowers',
    'FOLDER': 'data/flowers',
    'NETWORK': 'lite0',
    'PHOTOS': 'photo.jpg',
    'WORK_DIR': 'work_dirs/photos',
    'data_root=DIR': 'data_root=data/flowers',
    'data_root=FOLDER': 'data_root=data/flowers',
}
# Of a config that has the key; the last value given counts.
TINY = dict(
    batch_size='4', num_workers='0', max_epochs='1', min_steps='1', input_size='64',
    input_sizes='[64,48]', scale='[96,96]',
)  # fmt: skip
CELLS = '[[[2,24]],[[2,40]],[[2,80]],[[2,96]],[[2,160]],[[1,320]]]'  # of DNA's blocks: one each
NAO = (
    'train_cfg.num_new=4', 'train_cfg.sampler.pool_size=12', 'train_cfg.strategy.num_seeds=4',
    'train_cfg.strategy.epochs=10',
)  # fmt: skip
# One of mmdet's for digits, small.
DETECTOR = """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(bbox_head=dict(stacked_convs=1, num_classes=10))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(num_workers=0, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A folder like a clone, with tiny data under the names that the pages take."""
    import mmdet.utils
    import mmpretrain.utils
    import torch

    from cream_mm import create_model
    from cream_mm.converters import to_official
    from cream_mm.datasets.digits import write_digit_scenes
    from cream_mm.testing import write_image_folder

    for package in (mmdet, mmpretrain):  # what forks would import, each anew
        package.utils.register_all_modules(init_default_scope=False)
    torch.set_num_threads(1)  # so that a fork has no thread to wait for
    home = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools', 'docs', 'benchmarks', 'cream_mm'):
        (home / name).symlink_to(ROOT / name)
    data = home / 'data'
    write_image_folder(data / 'flowers', classes=('ant', 'bee', 'cat'), train=20, size=(40, 48))
    names = [f'{i:04d}' for i in range(1000)]
    write_image_folder(data / 'imagenet', classes=names, train=1, val=1, size=(8, 8))
    write_digit_scenes(data / 'my_coco', num_train=8, num_val=4)
    for name, source in dict(
        photos='flowers', cifar10='flowers', coco='my_coco', cards='my_coco'
    ).items():
        (data / name).symlink_to(data / source)
    (home / 'photo.jpg').write_bytes((data / 'flowers/val/ant/000.jpg').read_bytes())
    (home / 'folder_of_photos').symlink_to(data / 'my_coco/val2017')
    (home / 'my_detector.py').write_text(DETECTOR)
    model = create_model('cream-287m')
    torch.save(dict(state_dict=model.state_dict()), home / 'classifier.pth')
    torch.save(dict(state_dict=to_official(model.state_dict())), home / '287.pth.tar')
    return home


def there(word):
    """A word with the names that stand for others filled in from what is on the disk."""
    word = PLACEHOLDERS.get(word, word)
    if 'NAME' in word:
        head, _, tail = word.partition('/NAME')
        weights = Path('work_dirs').glob('**/weights.pth')
        folder = max(weights, key=lambda path: path.stat().st_mtime).parent  # of the last --all
        word = f'{folder}{tail}' if 'retrain.py' in tail else f'{head}/{folder.name}{tail}'
    if match := re.search(r'[\w/]+/epoch_\d+\.pth', word):
        newest = sorted(Path(match[0]).parent.glob('epoch_*.pth'))[-1]
        word = word.replace(match[0], str(newest))
    return word


def config_of(tool, args):
    """The config that a command trains or tests by, if it does."""
    if tool == 'search_data':
        detects = 'data/cards' in args
        return f'configs/photos/search{"_detector" * detects}.py'
    if tool == 'detect':
        return 'configs/photos/detector.py'
    if tool == 'retrain':
        places = [Path(args[0], 'retrain.py'), Path(args[0], 'export/retrain.py')]
        return str(next((path for path in places if path.is_file()), 'configs/photos/finetune.py'))
    named = next((arg for arg in args if arg.endswith('.py')), None)
    return named if tool in ('train', 'search', 'test') else None


def tiny(command):
    """The arguments of a command as they are run, with small values behind its own."""
    from mmengine.config import Config

    words = command.args
    if command.tool == 'detect':
        words = ['data/cards' if word == 'DIR' else word for word in words]
    args = [re.sub('^cream_mm::', 'configs/', there(word)) for word in words]
    config, options = config_of(command.tool, args), []
    # The full network and its 91 changes are rated before any sum of changes.
    num = 93 if 'single_changes' in command.text else 12
    if config and Path(config).is_file():
        cfg = Config.fromfile(config)
        options = [f'{key}={value}' for key, value in TINY.items() if key in cfg]
        for side in ('train', 'val', 'test'):
            if (cfg.get(f'{side}_dataloader') or {}).get('persistent_workers'):
                options.append(f'{side}_dataloader.persistent_workers=False')
        if 'full_share' in cfg:
            options.append('max_epochs=2')  # an epoch of the full network, one of its slices
        if 'phases' in cfg:
            options += ['max_epochs=2', 'phases=2', *NAO]
        if 'macs_m' in (cfg.get('budget') or {}) or 'budget.macs_m' in ' '.join(args):
            options.append('budget.macs_m=[0,100000]')
        if 'cells' in cfg.model.get('backbone', {}).get('space', {}):
            options.append(f'model.backbone.space.cells={CELLS}')
        for key, value in (('num', num), ('num_random', 2), ('num_bn_images', 8)):
            if (cfg.get('test_cfg') or {}).get(key):
                options.append(f'test_cfg.{key}={value}')
    if command.tool in ('train', 'search_data', 'retrain', 'detect'):
        usual = 'work_dirs/search' if command.tool == 'search_data' else None
        target = args[args.index('--work-dir') + 1] if '--work-dir' in args else usual
        if target and '--resume' not in args:
            shutil.rmtree(target, ignore_errors=True)
    if command.tool == 'search':
        args += ['--num', str(num)]
    if '--folds' in args and command.tool == 'train':
        args += ['--folds', '2']
    return [*args, '--cfg-options', *options] if options else args


def run(command):
    """Run it in a fork, so that it imports nothing again; fails with what it printed."""
    args = tiny(command)
    module = import_module(f'cream_mm.commands.{command.tool}')
    log = Path('printed.txt')
    child = os.fork()
    if not child:
        code = 1
        try:
            sys.stdout = sys.stderr = file = log.open('w', buffering=1)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.argv = [f'tools/{command.tool}.py', *args]
            module.main(args)
            code = 0
        except SystemExit as end:
            code = 0 if not end.code else 1
            print(end.code, flush=True)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert not status, f'{command.tool} {shlex.join(args)}\n{log.read_text()[-3000:]}'


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('page', STORIES)
def test_the_commands_of_a_page_run(page, clone, monkeypatch):
    monkeypatch.chdir(clone)
    for command in WHOLE:
        if command.page == page and not other_runner(command):
            run(command)
