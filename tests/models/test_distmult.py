import torch

from models.distmult import DistMult


def test_pairs_own_candidates_and_all_tails_agree_with_the_equation() -> None:
    decoder = DistMult(3, 5)
    heads, tails = torch.randn(4, 5), torch.randn(7, 5)
    relation = torch.tensor([0, 2, 1, 2])
    expected = torch.einsum("bi,bi,ki->bk", heads, decoder.relations[relation], tails)

    torch.testing.assert_close(decoder(heads, relation, tails), expected)
    candidates = torch.tensor([[0, 3], [6, 1], [2, 2], [5, 4]])
    torch.testing.assert_close(
        decoder(heads, relation, tails[candidates]), expected.gather(1, candidates)
    )
    pairs = decoder(heads, relation, tails[candidates[:, :1]])
    torch.testing.assert_close(pairs, expected.gather(1, candidates[:, :1]))


def test_one_relation_for_all_heads() -> None:
    decoder = DistMult(2, 5)
    heads, tails = torch.randn(4, 5), torch.randn(7, 5)
    each = decoder(heads, torch.ones(4, dtype=torch.long), tails)
    torch.testing.assert_close(decoder(heads, 1, tails), each)
