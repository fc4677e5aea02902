from .board_rating_loop import BoardRatingLoop
from .supernet_train_loop import SupernetTrainLoop
from .supernet_val_loop import SupernetValLoop

__all__ = ['BoardRatingLoop', 'SupernetTrainLoop', 'SupernetValLoop']
