"Pictures of the layers show what is there, where it is."
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from dualflow.explore import attended, attention_image, regions_image
from dualflow.splitting import Region


def test_heat_is_relative_to_the_hottest_cell():
    seen = lambda k: SimpleNamespace(attention=SimpleNamespace(importance=k * torch.eye(2), shape=(32, 32), image=Image.new("L", (64, 64), 200)))
    assert attention_image(seen(1)).tobytes() == attention_image(seen(9)).tobytes() and attention_image(seen(0)).size == (32, 32)


def test_boxes_lie_where_patches_lie_on_the_working_page():
    page = SimpleNamespace(attention=SimpleNamespace(shape=(200, 180), image=Image.new("L", (360, 400), 255), scale=2.), regions=[Region(100, 120, 160, 140)])
    y, x = (np.asarray(regions_image(page)) == (214, 40, 57)).all(2).nonzero()
    assert (x.min(), x.max(), y.min(), y.max()) == (50, 129, 60, 129)


def test_a_place_is_asked_by_its_own_token_and_in_its_own_block(flow):
    L, model = 100 * torch.rand(1, 1, 64, 128), flow.nets.attention
    result = SimpleNamespace(attention=SimpleNamespace(L=L))
    with torch.no_grad(): first = model.first_tokens(L)[1]; second = model.blocks[0](first)
    for block, tokens in ((0, first), (1, second), (-1, second)):
        assert torch.equal(attended(flow, result, 69, 5, block).flatten(1), model.blocks[block].weights(tokens)[0, :, 2])
