from .cream_cls_head import CreamClsHead
from .multi_label_cls_head import CreamMultiLabelClsHead
from .nao_cls_head import NAOClsHead

__all__ = ['CreamClsHead', 'CreamMultiLabelClsHead', 'NAOClsHead']
