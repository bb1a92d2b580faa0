"""What `CudaGraph` does on the host, with NumPy in CuPy's place."""

import numpy as np

from xpnet.backend._cupy_graph import CudaGraph


class Graph:
    def launch(self):
        pass


def test_arguments_that_lie_where_the_graph_reads_are_all_read_before_any_is_written():
    places = tuple(np.asarray([value, value]) for value in (1.0, 2.0, 3.0))
    graph = CudaGraph(np, Graph(), places, None, None)
    graph.launch(places[1], places[0][::-1], np.zeros(2))
    assert [place.tolist() for place in places] == [[2.0, 2.0], [1.0, 1.0], [0.0, 0.0]]


def test_arguments_of_ones_own_are_copied_once():
    places, copies = (np.zeros(2), np.zeros(2)), []

    class Counted:
        @staticmethod
        def copyto(place, values):
            copies.append(values)

    given = np.ones(2), np.ones(4)[::2]
    CudaGraph(Counted, Graph(), places, None, None).launch(*given)
    assert [values is mine for values, mine in zip(copies, given, strict=True)] == [True, True]
