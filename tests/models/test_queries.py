import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.distmult import DistMult
from models.messages import Messages
from models.queries import (
    Queries,
    all_loss,
    backward_in_chunks,
    filtered_ranks,
    realistic_ranks,
    sampled_loss,
    with_inverses,
)
from models.rgcn import EncoderConfig, RGCNEncoder
from models.sparse import EdgeType
from models.stacked import StackedRelations

ENTITIES, RELATIONS = 6, 3
triple = st.tuples(
    st.integers(0, ENTITIES - 1), st.integers(0, RELATIONS - 1), st.integers(0, ENTITIES - 1)
)
many_triples = st.lists(triple, min_size=1, max_size=25)


def as_tensor(triples: list[tuple[int, int, int]]) -> Tensor:
    return torch.tensor(triples, dtype=torch.long)


def make_decoder(relations: int = RELATIONS, hidden: int = 4) -> tuple[DistMult, Tensor]:
    torch.manual_seed(0)
    decoder = DistMult(relations, hidden).double()
    torch.nn.init.normal_(decoder.relations)
    return decoder, torch.randn(ENTITIES, hidden, dtype=torch.float64)


def score(decoder: DistMult, z: Tensor, head: int, relation: int, tail: int) -> float:
    return float((z[head] * decoder.relations.detach()[relation] * z[tail]).sum())


def test_inverses_have_numbers_of_their_own() -> None:
    triples = torch.tensor([[0, 1, 2], [3, 0, 3]])
    assert with_inverses(triples, 2).tolist() == [[0, 1, 2], [3, 0, 3], [2, 3, 0], [3, 2, 3]]


@given(many_triples)
def test_queries_know_their_tails(triples: list[tuple[int, int, int]]) -> None:
    given_triples = as_tensor(triples)
    queries = Queries(given_triples, ENTITIES)
    asked = {(head, relation) for head, relation, _ in triples}
    pairs = list(zip(queries.heads.tolist(), queries.relations.tolist(), strict=True))
    assert len(queries) == len(pairs) == len(asked)
    assert set(pairs) == asked
    numbers = queries.of(given_triples)
    assert [pairs[n] for n in numbers] == [(head, relation) for head, relation, _ in triples]

    everyone = torch.arange(ENTITIES).expand(len(numbers), -1)
    true = queries.answered_by(numbers, everyone)
    row, tails = queries.tails(numbers)
    listed = torch.zeros_like(true)
    listed[row, tails] = True
    assert torch.equal(listed, true)
    for line, number in zip(true.tolist(), numbers.tolist(), strict=True):
        expected = {t for h, r, t in triples if (h, r) == pairs[number]}
        assert {tail for tail, holds in enumerate(line) if holds} == expected


def test_what_nobody_asked_has_no_number() -> None:
    queries = Queries(as_tensor([(0, 0, 1), (2, 1, 1)]), ENTITIES)
    for unknown in ((0, 1, 1), (5, 2, 0)):
        with pytest.raises(ValueError, match="none of these"):
            queries.of(as_tensor([(0, 0, 3), unknown]))


def test_triples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no triples"):
        Queries(torch.empty(0, 3, dtype=torch.long), ENTITIES)
    for wrong in ((ENTITIES, 0, 0), (-1, 0, 0), (0, 0, ENTITIES)):
        with pytest.raises(ValueError, match="outside"):
            Queries(as_tensor([wrong]), ENTITIES)


# Few different scores, so that ties are the rule.
@settings(max_examples=200)
@given(many_triples, st.lists(st.integers(-1, 1), min_size=ENTITIES, max_size=ENTITIES))
def test_ranks_are_those_of_sorting(triples: list[tuple[int, int, int]], values: list[int]) -> None:
    decoder = DistMult(RELATIONS, 1)
    with torch.no_grad():
        decoder.relations.copy_(torch.tensor([[1.0], [-1.0], [0.0]]))
    z = torch.tensor(values, dtype=torch.float)[:, None]
    known = Queries(as_tensor(triples), ENTITIES)
    found = filtered_ranks(decoder, z, as_tensor(triples), known, chunk=3)
    for rank, (head, relation, tail) in zip(found.tolist(), triples, strict=True):
        own = score(decoder, z, head, relation, tail)
        others = [
            score(decoder, z, head, relation, candidate)
            for candidate in range(ENTITIES)
            if (head, relation, candidate) not in triples
        ]
        # the answer put first, and put last, among its equals
        optimistic = 1 + sorted([-own, *(-s for s in others)]).index(-own)
        pessimistic = len(others) + 1 - sorted([own, *others]).index(own)
        assert rank == (optimistic + pessimistic) / 2


def test_a_score_that_is_no_number_wins_nothing() -> None:
    scores = torch.tensor([[0.0, float("nan"), -1.0], [float("nan"), 0.0, 1.0]])
    true = torch.tensor([[True, False, False], [True, False, False]])
    assert realistic_ranks(scores, torch.tensor([0, 0]), true).tolist() == [2, 3]
    infinite = torch.tensor([[float("inf"), 0.0, float("inf")]])
    assert realistic_ranks(infinite, torch.tensor([0]), true[:1] | True).tolist() == [1]


@given(many_triples)
def test_loss_against_all_is_that_of_a_loop(triples: list[tuple[int, int, int]]) -> None:
    decoder, z = make_decoder()
    queries = Queries(as_tensor(triples), ENTITIES)
    numbers = torch.arange(len(queries)).flip(0)
    expected = 0.0
    for head, relation in {(h, r) for h, r, _ in triples}:
        scores = [score(decoder, z, head, relation, t) for t in range(ENTITIES)]
        chances = torch.tensor(scores, dtype=torch.float64).log_softmax(dim=0)
        answers = [t for t in range(ENTITIES) if (head, relation, t) in triples]
        expected -= float(chances[answers].sum())
    assert float(all_loss(queries, decoder, z, numbers).detach()) == pytest.approx(expected, 1e-5)


def test_sampled_loss_leaves_out_draws_that_are_true() -> None:
    decoder, z = make_decoder()
    # 5 of the 6 tails are true: of the draws only tail 3 is false
    queries = Queries(as_tensor([(0, 1, tail) for tail in (0, 1, 2, 4, 5)]), ENTITIES)
    pairs = queries.answers.edges
    draws = torch.randint(ENTITIES, (5, 40), generator=torch.Generator().manual_seed(3))
    num_false = int((draws == 3).sum())
    assert 0 < num_false < 100
    expected = sum(
        float(torch.nn.functional.softplus(torch.tensor(-score(decoder, z, 0, 1, t))))
        for t in (0, 1, 2, 4, 5)
    ) + num_false * float(torch.nn.functional.softplus(torch.tensor(score(decoder, z, 0, 1, 3))))
    chance = torch.Generator().manual_seed(3)
    loss = sampled_loss(queries, decoder, z, pairs, 40, chance)
    assert float(loss.detach()) == pytest.approx(expected, 1e-5)


def test_chunks_add_up_to_the_whole() -> None:
    decoder, _ = make_decoder()
    queries = Queries(as_tensor([(h, r, (h * r + 1) % 6) for h in range(6) for r in range(3)]), 6)
    numbers = torch.arange(len(queries))
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    mixing = torch.randn(4, 4, dtype=torch.float64)
    whole = all_loss(queries, decoder, x @ mixing, numbers)
    whole.backward()
    expected = x.grad, decoder.relations.grad
    x.grad = decoder.relations.grad = None
    total = backward_in_chunks(
        x @ mixing, numbers.split(5), lambda z, some: all_loss(queries, decoder, z, some)
    )
    assert total == pytest.approx(float(whole.detach()))
    torch.testing.assert_close((x.grad, decoder.relations.grad), expected)


def two_hop_graph() -> tuple[Tensor, Tensor, int, int]:
    """Persons live in cities, cities lie in countries, so a person is of a country: the last is
    learned from some and asked of others. Training and test triples, entities, relations.

    Every relation comes in ten numbered kinds, one a country, to have many of them.
    """
    countries, cities, persons = 10, 40, 400
    first_city, first_person = countries, countries + cities
    chance = torch.Generator().manual_seed(0)
    home = torch.randint(cities, (persons,), generator=chance)
    land = home % countries
    person = torch.arange(persons) + first_person
    city = torch.arange(cities)
    lives = torch.stack([person, land, home + first_city], dim=1)
    lies = torch.stack([city + first_city, 10 + city % countries, city % countries], dim=1)
    of = torch.stack([person, torch.full_like(person, 20), land], dim=1)
    train = torch.cat([lives, lies, of[:300]])
    return train, of[300:], first_person + persons, 21


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [4, None])
def test_a_graph_of_many_relations_is_learned(blocks: int | None) -> None:
    train, test, entities, relations = two_hop_graph()
    both = with_inverses(train, relations)
    edges: dict[EdgeType, Tensor] = {
        ("n", str(number), "n"): both[both[:, 1] == number][:, [0, 2]].T
        for number in range(2 * relations)
    }
    queries = Queries(both, entities)
    known = Queries(torch.cat([both, test]), entities)
    torch.manual_seed(0)
    config = EncoderConfig(
        hidden=16, layers=1, blocks=blocks, dropout=0.2, residual=False, normalise=False
    )
    encoder = RGCNEncoder({}, {"n": entities}, tuple(edges), {}, config)
    decoder = DistMult(2 * relations, 16)
    messages = Messages(stacked=(StackedRelations.from_edges(edges, entities, entities),))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)

    def mrr() -> float:
        encoder.eval()
        with torch.no_grad():
            z = encoder({}, messages)[-1]["n"]
        return float(filtered_ranks(decoder, z, test, known).reciprocal().mean())

    before = mrr()
    for _ in range(200):
        encoder.train()
        optimiser.zero_grad()
        z = encoder({}, messages)[-1]["n"]
        numbers = torch.randperm(len(queries))[:256]
        backward_in_chunks(
            z, numbers.split(64), lambda h, some: all_loss(queries, decoder, h, some) / 256
        )
        optimiser.step()
    assert before < 0.1
    assert mrr() > 0.8
