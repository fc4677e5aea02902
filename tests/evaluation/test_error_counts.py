"""What is kept of a classifier's predictions."""

from cream_mm.evaluation.error_counts import MAX_WRONG, Prediction, errors_content


def test_all_are_counted_and_the_most_certain_errors_come_first():
    predictions = [
        Prediction('a.jpg', 0, 0, 0.9),
        Prediction('b.jpg', 0, 2, 0.6),
        Prediction('c.jpg', 2, 0, 0.8),
        Prediction('d.jpg', 0, 2, 0.8),
    ]
    content = errors_content(predictions, ('x', 'y', 'z'), weights='of epoch 3')
    assert content == dict(
        format='cream_mm.errors/1',
        weights='of epoch 3',
        classes=['x', 'y', 'z'],
        num_images=4,
        counts=[[0, 0, 1], [0, 2, 2], [2, 0, 1]],
        wrong=[
            dict(path='c.jpg', label=2, predicted=0, score=0.8),
            dict(path='d.jpg', label=0, predicted=2, score=0.8),
            dict(path='b.jpg', label=0, predicted=2, score=0.6),
        ],
    )


def test_names_of_very_many_errors_are_not_kept():
    many = (Prediction(f'{i}.jpg', 0, 1, i / 1000) for i in range(MAX_WRONG + 5))
    content = errors_content(many, ('x', 'y'))
    assert content['counts'] == [[0, 1, MAX_WRONG + 5]]
    assert len(content['wrong']) == MAX_WRONG
    assert content['wrong'][-1]['path'] == '5.jpg'  # 0 to 4 are the least certain
