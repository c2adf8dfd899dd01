"What must hold for any page, map and budget."
import torch
from hypothesis import given, settings, strategies as st

from dualflow.colorizers import compose, transmission
from dualflow.core import into_gamut
from dualflow.fusion import harmonise, upsample_guided
from dualflow.palette import ColourHead, as_colour, chroma_bins, chroma_surprise, spread_chroma
from dualflow.printing import STYLES, print_lightness
from dualflow.splitting import cut_patches
from kornia.color import rgb_to_lab


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from(STYLES), st.floats(4, 9), st.floats(0, 90))
def test_true_gate_composes_to_what_the_ink_lets_through(seed, style, pitch, angle):
    g = torch.Generator().manual_seed(seed)
    L = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 6, generator=g) * 100, size=(64, 64), mode="nearest")
    o = print_lightness(L, style, pitch, angle)
    assert 0 <= o.L.min() and o.L.max() <= 100
    assert (transmission(o.L, o.gate) - (1 - o.ink)).abs().max() < .03


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31))
def test_any_colour_becomes_one_that_exists_with_its_lightness(seed):
    g = torch.Generator().manual_seed(seed)
    lab = torch.rand(1, 3, 12, 12, generator=g) * torch.tensor([100., 220, 220]).view(1, 3, 1, 1) - torch.tensor([0., 110, 110]).view(1, 3, 1, 1)
    rgb = into_gamut(lab)
    assert 0 <= rgb.min() and rgb.max() <= 1
    assert (rgb_to_lab(rgb)[:, 0] - lab[:, 0]).abs().max() < 1.


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31))
def test_a_colour_is_a_mixture_of_its_bins_and_what_is_sure_is_painted(seed):
    rgb = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed)).round(decimals=1)  # corners of the gamut too
    ab = rgb_to_lab(rgb)[:, 1:]
    index, share = spread_chroma(ab)
    assert share.min() >= 0 and torch.allclose(share.sum(1), torch.ones(1, 4, 4))
    scores = torch.full((1, 1 + len(chroma_bins()[0]), 4, 4), -30.).scatter(1, index + 1, share.clamp(min=1e-9).log())
    assert (as_colour(scores)[:, 1:] - ab).abs().max() < .05
    entropy = -(share.clamp(min=1e-9).log() * share).sum(1)
    assert (chroma_surprise(scores, ab) - entropy).abs().max() < .01   # no surprise beyond the mixture's own
    assert chroma_surprise(scores, -ab - 20).mean() > 3


def test_what_is_common_is_learned_in_training_alone_and_rare_is_favoured():
    head = ColourHead(4)
    with torch.no_grad(): head.weight.zero_(); head.bias[5] = 9.
    head.eval()(torch.rand(1, 4, 8, 8)); assert head.common.argmax() != 4
    for _ in range(400): head.train()(torch.rand(1, 4, 8, 8))
    assert head.common.argmax() == 4 and head.rare.argmin() == 4 and head.common[4] > .9


def test_ink_is_never_lightened_by_a_full_gate():
    L = torch.rand(1, 1, 32, 32) * 100
    colour = torch.rand(1, 3, 32, 32) * 100
    assert (compose(colour, transmission(L, torch.ones_like(L)))[:, :1] <= L + 1e-4).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 70), st.integers(1, 70))
def test_upsampling_stays_between_its_neighbours(h, w, H, W):
    x = torch.rand(1, 2, h, w)
    out = upsample_guided(x, torch.rand(1, 1, H, W) * 100)
    assert out.shape == (1, 2, H, W) and x.min() - 1e-5 <= out.min() and out.max() <= x.max() + 1e-5


def test_harmonising_what_agrees_changes_nothing():
    page = torch.rand(1, 3, 80, 80) * 50
    corners = [(0, 0), (20, 20), (40, 0)]
    assert harmonise(cut_patches(page, corners, (40, 40)), corners, page).abs().max() < 1e-3
