from .search_loop import SearchLoop
from .supernet_train_loop import SupernetTrainLoop
from .supernet_val_loop import SupernetValLoop

__all__ = ['SearchLoop', 'SupernetTrainLoop', 'SupernetValLoop']
