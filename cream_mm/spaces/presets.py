"""Published MBConv spaces by name: what differs from Cream's, the default of every field."""

_DNA = dict(
    name='dna',
    depths=(2, 4, 4, 4, 4, 1),
    choices=((3, 6), (5, 6), (7, 6), (3, 3), (5, 3), (7, 3)),
    widths=(24, 40, 80, 112, 192, 320),
    strides=(2, 2, 2, 1, 2, 1),
    stem_channels=32,
    first_channels=16,
    final_channels=1280,
    head_channels=0,
    se='efficientnet',
    published_flops='dna',
)

# EfficientNet-Lite: neither its stem nor its head is widened. The choices are those of the six
# networks' layers, (3, 6) and (5, 6), and others around them.
_LITE = dict(
    choices=tuple((k, e) for k in (3, 5, 7) for e in (3, 4, 6)),
    widths=(24, 40, 80, 112, 192, 320),
    strides=(2, 2, 2, 1, 2, 1),
    stem_channels=32,
    first_channels=16,
    final_channels=0,
    head_channels=1280,
    head_norm=True,
    act='relu6',
    se='none',
    padding='same',
    bn_eps=1e-3,
)

SPACE_PRESETS: dict[str, dict] = dict(
    cream={},
    # NAS-Bench-Macro: 3^8 networks for 32 x 32 pixels, all of them trained.
    nas_bench_macro=dict(
        name='nas_bench_macro',
        depths=(2, 3, 3),
        choices=('identity', (3, 3), (5, 6)),
        widths=(64, 128, 256),
        strides=(2, 2, 2),
        stem_channels=32,
        stem_stride=1,
        first_channels=0,
        final_channels=1280,
        head_channels=0,
        act='relu',
        se='none',
    ),
    # DNA, released space: one cell per block, widths as exported. Other cells: depths, widths.
    dna=_DNA,
    dna_identity=dict(_DNA, name='dna_identity', choices=(*_DNA['choices'], 'identity')),
    lite0=dict(_LITE, name='lite0', depths=(2, 2, 3, 3, 4, 1)),
    lite1=dict(_LITE, name='lite1', depths=(3, 3, 4, 4, 5, 1)),
    lite2=dict(_LITE, name='lite2', depths=(3, 3, 4, 4, 5, 1), widths=(24, 48, 88, 120, 208, 352)),
)
