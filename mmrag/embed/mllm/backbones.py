"""The architectures: how each sees a picture, counts positions, and gives its last states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import UnsupportedModality
from mmrag.embed.content import Picture
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.mllm.pixels import blank_image, fit, open_image, resize
from mmrag.embed.mllm.positions import mrope, sequential

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class View:
    """A picture as a model sees it, still as bytes: a quarter of what normalised pixels would take.

    Args:
        pixels: Its tiles.
        grid: Rows and columns of its tokens; (0, 0) where they form none.
        tokens: How many tokens it takes.
        size: Height and width before it was cut into tiles.

    Shapes:
        pixels uint8 [tiles, height, width, 3]
    """

    pixels: NDArray[np.uint8]
    grid: tuple[int, int]
    tokens: int
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Several inputs, padded to one length.

    Shapes:
        ids [inputs, length]; mask bool [inputs, length]; positions [axes, inputs, length]
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.bool_]
    positions: NDArray[np.int64]
    views: tuple[View, ...]


class Backbone(Protocol):
    """A loaded model without its language head.

    `see` and `positions` touch no weights and may be called from many threads.
    """

    model: Any
    image_id: int | None

    def see(self, picture: Picture | None, dummy_pixels: int = 0) -> View:
        """Return a picture as the model sees it; None for a blank one of `dummy_pixels`."""
        ...

    def positions(self, ids: NDArray[np.int64], views: Sequence[View]) -> NDArray[np.int64]:
        """Return the position ids of one input, [axes, tokens]."""
        ...

    def states(self, batch: Batch) -> Any:
        """Return the last layer's states after the final norm, [inputs, length, width]."""
        ...


class QwenVl:
    """Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures of any size, one token for 2 x 2 patches.

    Args:
        model: The multimodal model without its language head.
        images: Its image processor, of which only the settings are used.
        options: The recipe.
    """

    def __init__(self, model: Any, images: Any, options: MllmOptions) -> None:
        self.model = model
        self.image_id: int | None = model.config.image_token_id
        self._images = images
        self._options = options
        self._factor = images.patch_size * images.merge_size
        pixels = options.pixels
        self._limits = (pixels.min or images.size["shortest_edge"], pixels.max or images.size["longest_edge"])

    def see(self, picture: Picture | None, dummy_pixels: int = 0) -> View:
        """Return a picture resized to whole tokens."""
        factor = self._factor
        # A made-up picture is what the recipe says it is: nothing but the last resize is done to it.
        image = (
            blank_image(dummy_pixels)
            if picture is None
            else open_image(picture, self._options.pixels, factor)
        )
        height, width = fit(image.height, image.width, factor, self._limits)
        pixels = np.asarray(resize(image, height, width, int(self._images.resample)))
        grid = (height // factor, width // factor)
        return View(pixels[None], grid, grid[0] * grid[1], (height, width))

    def positions(self, ids: NDArray[np.int64], views: Sequence[View]) -> NDArray[np.int64]:
        """Return three axes, as the recipe's `rope` says."""
        if self._options.rope == "sequential":
            return sequential(ids.size)
        return mrope(ids == self.image_id, [view.grid for view in views])

    def states(self, batch: Batch) -> Any:
        """Return the last states."""
        inputs = _inputs(batch, self.model.device)
        if batch.views:
            import torch

            merge = self._images.merge_size
            patches = [self._patches(view) for view in batch.views]
            grids = [(1, view.grid[0] * merge, view.grid[1] * merge) for view in batch.views]
            inputs["pixel_values"] = torch.cat(patches)
            inputs["image_grid_thw"] = torch.tensor(grids, device=self.model.device)
        return self.model(**inputs).last_hidden_state

    def _patches(self, view: View) -> Any:
        """Cut a picture into rows of patch values: tokens in reading order, in each its 2 x 2 patches.

        Shapes:
            -> float32 [patches, channels * frames * patch * patch]
        """
        patch, merge, frames = (
            self._images.patch_size,
            self._images.merge_size,
            self._images.temporal_patch_size,
        )
        pixels = _normalized(view.pixels, self._images, self.model.device)[0]
        channels = pixels.shape[0]
        rows, columns = view.grid
        cut = pixels.reshape(channels, rows, merge, patch, columns, merge, patch)
        # A picture is a film of equal frames.
        cut = cut.permute(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None].expand(
            *(rows, columns, merge, merge, channels, frames, patch, patch)
        )
        return cut.reshape(rows * columns * merge * merge, channels * frames * patch * patch)


class LlavaNext:
    """LLaVA-NeXT: a picture as a whole and, unless the recipe wants that only, in tiles.

    Args:
        model: The multimodal model without its language head.
        images: Its image processor.
        options: The recipe.
    """

    def __init__(self, model: Any, images: Any, options: MllmOptions) -> None:
        self.model = model
        self.image_id: int | None = model.config.image_token_id
        self._images = images
        self._options = options
        self._first_view = options.pixels.first_view

    def see(self, picture: Picture | None, dummy_pixels: int = 0) -> View:
        """Return a picture's tiles, the whole first."""
        image = blank_image(dummy_pixels) if picture is None else open_image(picture, self._options.pixels)
        size = (image.height, image.width)
        tiles = self._tiles(image)
        return View(tiles, (0, 0), self._tokens(*size), size)

    def positions(self, ids: NDArray[np.int64], views: Sequence[View]) -> NDArray[np.int64]:
        """Return one axis, counted."""
        return sequential(ids.size)[:1]

    def states(self, batch: Batch) -> Any:
        """Return the last states."""
        inputs = _inputs(batch, self.model.device)
        inputs["position_ids"] = inputs["position_ids"][0]
        if batch.views:
            import torch

            tiles = [_normalized(view.pixels, self._images, self.model.device) for view in batch.views]
            pixels = torch.cat(tiles).to(self.model.dtype)
            if self._first_view:
                inputs["mm_encoder_outputs"] = {"image": SimpleNamespace(pooler_output=self._whole(pixels))}
            else:
                inputs["pixel_values"] = pixels
                inputs["image_sizes"] = torch.tensor([view.size for view in batch.views])
        return self.model(**inputs).last_hidden_state

    def _tiles(self, image: Image) -> NDArray[np.uint8]:
        found = self._images(images=image, do_rescale=False, do_normalize=False, do_pad=False)
        tiles = np.asarray(found["pixel_values"][0])[: 1 if self._first_view else None]
        return np.ascontiguousarray(tiles.transpose(0, 2, 3, 1).astype(np.uint8))

    def _tokens(self, height: int, width: int) -> int:
        """Count a picture's tokens: the whole view, and the tiles without padding, one token more a row."""
        from transformers.image_processing_utils import select_best_resolution

        config, vision = self.model.config, self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        whole = side * side + (config.vision_feature_select_strategy != "default")
        if self._first_view:
            return int(whole + 1)
        best = select_best_resolution((height, width), config.image_grid_pinpoints)
        rows, columns = (length // vision.image_size * side for length in best)
        if width / height > columns / rows:
            kept = int(round(height * (columns / width), 7))
            rows -= (rows - kept) // 2 * 2
        else:
            kept = int(round(width * (rows / height), 7))
            columns -= (columns - kept) // 2 * 2
        return int(whole + rows * columns + rows)

    def _whole(self, pixels: Any) -> list[Any]:
        """Return the states of whole views, each with the row-end token behind it."""
        import torch

        config = self.model.config
        layers = config.vision_feature_layer
        hidden = self.model.vision_tower(pixels, output_hidden_states=True).hidden_states
        chosen = torch.cat([hidden[at] for at in ([layers] if isinstance(layers, int) else layers)], -1)
        if config.vision_feature_select_strategy == "default":
            chosen = chosen[:, 1:]
        seen = self.model.multi_modal_projector(chosen)
        end = self.model.image_newline[None].to(seen)
        return [torch.cat((one, end)) for one in seen]


class Causal:
    """A language model: words alone."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.image_id: int | None = None

    def see(self, picture: Picture | None, dummy_pixels: int = 0) -> View:
        """Refuse.

        Raises:
            UnsupportedModality: Always.
        """
        raise UnsupportedModality("The model takes words only.", fix="Use a recipe that takes images.")

    def positions(self, ids: NDArray[np.int64], views: Sequence[View]) -> NDArray[np.int64]:
        """Return one axis, counted."""
        return sequential(ids.size)[:1]

    def states(self, batch: Batch) -> Any:
        """Return the last states."""
        inputs = _inputs(batch, self.model.device)
        inputs["position_ids"] = inputs["position_ids"][0]
        return self.model(**inputs).last_hidden_state


def see_both_ways(language_model: Any) -> None:
    """Let every token see all others.

    The configuration decides the mask, each layer what happens where no mask is needed: both are told.
    """
    language_model.config.is_causal = False
    for module in language_model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False


def _inputs(batch: Batch, device: Any) -> dict[str, Any]:
    import torch

    return {
        "input_ids": torch.from_numpy(batch.ids).to(device),
        "attention_mask": torch.from_numpy(batch.mask.astype(np.int64)).to(device),
        "position_ids": torch.from_numpy(batch.positions).to(device),
        "use_cache": False,
    }


def _normalized(pixels: NDArray[np.uint8], images: Any, device: Any) -> Any:
    """Return float32 [tiles, channels, height, width] as the image processor would make them."""
    import torch

    found = torch.from_numpy(np.array(pixels)).to(device).permute(0, 3, 1, 2).float()
    mean = torch.tensor(images.image_mean, device=device).view(-1, 1, 1)
    deviation = torch.tensor(images.image_std, device=device).view(-1, 1, 1)
    return (found * images.rescale_factor - mean) / deviation
