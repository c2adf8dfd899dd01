"What must hold for any page, map and budget."
import torch
from hypothesis import given, settings, strategies as st

from dualflow.colorizers import compose, transmission
from dualflow.core import into_gamut
from dualflow.fusion import harmonise, upsample_guided
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
