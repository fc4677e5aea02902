from .cream_cls_head import CreamClsHead

__all__ = ['CreamClsHead']
