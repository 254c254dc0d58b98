"""Put adapters on a loaded model and take them off: whatever peft can inject, whatever kind it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from mmrag.core.errors import AdapterMismatch
from mmrag.core.lazy import require
from mmrag.embed.adapters.files import Adapter
from mmrag.embed.adapters.plan import Plan, plan_graft

_FEATURE = "An adapter"
_OTHER_PARTS = ("visual", "vision_tower", "vision_model", "audio_tower", "audio_model")


class Graft:
    """The adapter layers of one model. It has no lock: its owner has.

    Adapters have names of their own here, since libraries find tensors by searching names for the adapter's,
    and a user's may be part of another.
    """

    def __init__(self, model: Any, leave_out: Sequence[str] = ()) -> None:
        self._model = model
        self._leave_out = leave_out
        self._count = 0
        self._layers: list[tuple[str, Any]] = []
        self._names: set[str] = set()
        self.extra_tensors: dict[str, Any] = {}

    def merge(self, adapter: Adapter) -> None:
        """Add an adapter's changes to the weights, for good.

        Raises:
            AdapterMismatch: It does not fit, or its kind cannot be merged.
        """
        torch = require("torch", extra="local", feature=_FEATURE)
        plan = plan_graft(self._model, adapter, self._leave_out)
        with torch.no_grad():
            # Before layers are wrapped, which gives their weights other names.
            for whole, tensor in plan.whole.items():
                self._model.get_parameter(whole).copy_(tensor)
            name = self._inject(plan, exact=True)
            try:
                for _, layer in self._layers:
                    layer.merge(safe_merge=True, adapter_names=[name])
            except (NotImplementedError, ValueError) as error:
                raise AdapterMismatch(
                    f"The adapter ({adapter.kind}) cannot be merged: {error}.",
                    fix="Name it under `load`, and as the `default`, instead.",
                    where=str(adapter.folder),
                ) from error
        self._take_off(name)
        self.extra_tensors.update(plan.extra)

    def add(self, adapter: Adapter) -> str:
        """Put an adapter beside the others, switched off; return its name here.

        Raises:
            AdapterMismatch: It does not fit; the model is as before.
        """
        plan = plan_graft(self._model, adapter, self._leave_out)
        self._refuse_whole(plan)
        return self._inject(plan, exact=False)

    def remove(self, name: str) -> None:
        """Take an adapter off."""
        self._take_off(name)

    def enable(self, names: Iterable[str]) -> None:
        """Let these adapters take part."""
        wanted = list(names)
        for _, layer in self._layers:
            _switch(layer, wanted)

    def disable(self) -> None:
        """Let none take part."""
        for _, layer in self._layers:
            _switch(layer, None)

    @contextmanager
    def rows(self, names: Sequence[str]) -> Iterator[None]:
        """Give each row of a batch its own adapter inside; `enable` comes first."""

        def tell(_: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
            return args, {**kwargs, "adapter_names": list(names)}

        with ExitStack() as stack:
            for _, layer in self._layers:
                stack.callback(layer.register_forward_pre_hook(tell, with_kwargs=True).remove)
            yield

    def mixes(self) -> bool:
        """Whether each adapter layer can take another adapter for each row."""
        front = _front_of_rows(self._model)
        return front is not None and all(
            name.startswith(front) and _takes_rows(layer, self._names) for name, layer in self._layers
        )

    def _inject(self, plan: Plan, *, exact: bool) -> str:
        """Wrap layers and fill in tensors: as float32 if `exact`, else in the precision of the weights."""
        peft = require("peft", extra="local", feature=_FEATURE)
        self._count += 1
        # Of one length: none is part of another.
        name = f"mmrag_{self._count:06d}_"
        with ExitStack() as undo:
            undo.callback(self._take_off, name)
            try:
                peft.inject_adapter_in_model(plan.config, self._model, name)
            except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
                raise AdapterMismatch(
                    f"peft cannot put the adapter on this model: {error}.",
                    fix="Use its base model, or merge the adapter into the checkpoint with peft.",
                    where=str(plan.adapter.folder),
                ) from error
            finally:
                # Each adapter is put on by itself: peft remarks on settings that are there already.
                self._model.__dict__.pop("peft_config", None)
            self._fill(plan, name, exact=exact)
            undo.pop_all()
        self._names.add(name)
        self._refresh()
        for _, layer in self._layers:
            # peft wraps as for training: dropout would make vectors random.
            layer.eval()
        return name

    def _fill(self, plan: Plan, name: str, *, exact: bool) -> None:
        torch = require("torch", extra="local", feature=_FEATURE)
        state = self._model.state_dict(keep_vars=True)
        places = {key: value for key, value in state.items() if f".{name}" in key}
        for (module, rest), tensor in plan.tensors.items():
            first, _, last = rest.partition(".")
            key = f"{module}.{first}.{name}" + (f".{last}" if last else "")
            # peft saves the vector of DoRA without its last word.
            key = key if key in places else f"{key}.weight"
            place = places.pop(key, None)
            if place is None or place.shape != tensor.shape:
                shape = "no place" if place is None else f"a place of shape {list(place.shape)}"
                raise AdapterMismatch(
                    f"The adapter's {rest} of {module}, of shape {list(tensor.shape)}, has {shape}.",
                    fix="Use its base model, and the settings that it was saved with.",
                    where=str(plan.adapter.folder),
                )
            weight = getattr(self._model.get_submodule(module).get_base_layer(), "weight", place)
            dtype = torch.float32 if exact or not weight.is_floating_point() else weight.dtype
            dtype = dtype if tensor.is_floating_point() else tensor.dtype
            place.data = tensor.to(device=weight.device, dtype=dtype, copy=True)
            place.requires_grad_(False)
        if places:
            raise AdapterMismatch(
                f"The adapter lacks {len(places)} tensors that its settings ask for, such as {min(places)}.",
                fix="Get it again, with the settings that it was saved with.",
                where=str(plan.adapter.folder),
            )

    def _refuse_whole(self, plan: Plan) -> None:
        """Refuse whole weights that cannot be switched by input; those that say nothing new may be there."""
        torch = require("torch", extra="local", feature=_FEATURE)
        new = []
        for name, tensor in plan.whole.items():
            weight = self._model.get_parameter(name)
            if not torch.equal(weight, tensor.to(weight)):
                new.append(name)
        for name, tensor in plan.extra.items():
            known = self.extra_tensors.get(name)
            if known is None or known.shape != tensor.shape or not torch.equal(known, tensor.to(known)):
                new.append(name)
        if new:
            raise AdapterMismatch(
                f"The adapter brings whole weights, which no input can switch: {', '.join(sorted(new)[:4])}.",
                fix="Merge it, or name them in `leave_out` if they are not needed.",
                where=str(plan.adapter.folder),
            )

    def _take_off(self, name: str) -> None:
        """Delete an adapter, and unwrap the layers that have none left, so that they are as they were."""
        for parent in list(self._model.modules()):
            for child_name, child in list(parent.named_children()):
                if _is_layer(child) and _has(child, name):
                    child.set_adapter([], inference_mode=True)
                    child.delete_adapter(name)
                while _is_layer(child) and not _adapters(child):
                    child = child.base_layer
                    setattr(parent, child_name, child)
        self._names.discard(name)
        self._refresh()

    def _refresh(self) -> None:
        self._layers = [(path, module) for path, module in self._model.named_modules() if _is_layer(module)]
        self.disable()


def _tuner_layer() -> Any:
    return require("peft.tuners.tuners_utils", extra="local", feature=_FEATURE).BaseTunerLayer


def _is_layer(module: Any) -> bool:
    return isinstance(module, _tuner_layer())


def _switch(layer: Any, names: list[str] | None) -> None:
    """Set which adapters of a layer take part; None for none.

    peft's `set_adapter` and `enable_adapters` also say for every weight whether it is trained: for 196 layers
    that takes 60 ms a batch, and the two fields that they set take 4 ms. A kind with methods of its own keeps
    them.
    """
    base, kind = _tuner_layer(), type(layer)
    if kind.set_adapter is not base.set_adapter or kind.enable_adapters is not base.enable_adapters:
        layer.enable_adapters(names is not None)
        if names is not None:
            layer.set_adapter(names, inference_mode=True)
        return
    layer._disable_adapters = names is None
    if names is not None:
        layer._active_adapter = names


def _adapters(layer: Any) -> set[str]:
    return {name for kind in layer.adapter_layer_names for name in getattr(layer, kind)}


def _has(layer: Any, name: str) -> bool:
    return name in _adapters(layer)


def _front_of_rows(model: Any) -> str | None:
    """Return what the names of modules start with whose first axis is the batch; None where nothing tells."""
    if hasattr(model, "language_model"):
        return "language_model."
    return None if any(hasattr(model, part) for part in _OTHER_PARTS) else ""


def _takes_rows(layer: Any, names: Iterable[str]) -> bool:
    """Whether a layer takes `adapter_names`: peft's own say so by a method, others by an attribute."""
    takes = getattr(layer, "takes_adapter_names", callable(getattr(layer, "_mixed_batch_forward", None)))
    magnitudes = getattr(layer, "use_dora", {})
    return bool(takes) and not any(magnitudes.get(name, False) for name in names)
