from .cream_cls_head import CreamClsHead
from .nao_cls_head import NAOClsHead

__all__ = ['CreamClsHead', 'NAOClsHead']
