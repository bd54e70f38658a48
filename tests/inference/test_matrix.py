"""Products with packed matrices equal those with plain ones, and follow the weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from omni.inference import matrix
from omni.inference.matrix import padded, product_of, products_of

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


@needs_onednn
@pytest.mark.parametrize(("out", "width"), [(64, 32), (33, 19)])
@pytest.mark.parametrize("rows", [1, 2, 9, 37])
def test_packed_and_plain_products_are_equal(out: int, width: int, rows: int) -> None:
    weight, x = torch.nn.Parameter(torch.randn(out, width)), torch.randn(rows, width)
    with torch.inference_mode():
        got = product_of(weight, packs=True)(x)
        torch.testing.assert_close(got, F.linear(x, weight))
        assert torch.equal(product_of(weight, packs=False)(x), F.linear(x, weight))


def test_stacked_matrices_have_a_product_each() -> None:
    weight, x = torch.randn(3, 16, 32), torch.randn(5, 32)
    for one, product in zip(weight, products_of(weight, packs=True), strict=True):
        torch.testing.assert_close(product(x), F.linear(x, one))


@needs_onednn
def test_a_matrix_is_packed_once_and_again_when_it_has_changed() -> None:
    weight, x = torch.nn.Parameter(torch.randn(16, 32)), torch.randn(2, 32)
    product_of(weight, packs=True)
    kept = matrix._kept[weight]
    product_of(weight, packs=True)
    assert matrix._kept[weight] is kept
    with torch.no_grad():
        weight.mul_(2)
    torch.testing.assert_close(product_of(weight, packs=True)(x), F.linear(x, weight))


@needs_onednn
def test_no_row_changes_the_bits_of_another() -> None:
    product, x = product_of(torch.randn(64, 32), packs=True), torch.randn(8, 32)
    other = torch.cat([x[:1], torch.randn(7, 32)])
    assert torch.equal(product(x)[0], product(other)[0])


def test_few_numbers_of_rows_get_a_kernel() -> None:
    assert [padded(rows) for rows in (1, 7, 8, 9, 32, 33, 128, 129, 512)] == [
        1,
        7,
        8,
        12,
        32,
        48,
        128,
        192,
        512,
    ]
    assert len({padded(rows) for rows in range(1, 513)}) == 26
