"""deepSI's SUBNET and the linear model of jax-sysid, fitted by another Python that has them.

    python benchmarks/devices.py --methods subnet jax-sysid --python /path/to/other/python

That Python runs this file as a script. Installed with CPython 3.11 in a separate virtual environment by
`pip install torch==2.13.0 jax-sysid==1.1.0 deepSI==0.4.4`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

#: Samples that are used, and steps of the optimisers.
MAX_SAMPLES = 20_000


def fit_external(method: str, device: Any, seed: int, python: Path, limit: float = 60.0) -> tuple[Any, dict[str, Any]]:
    """Fit in another Python and return its free runs along the tests of the device.

    Raises:
        RuntimeError: it failed; the message is the last line that it wrote.
    """
    from _device_models import split
    from _recordings import columns

    fitted, unseen = split(device)
    arrays: dict[str, Any] = {}
    for name, pairs in (("fitted", fitted), ("unseen", unseen)):
        for index, pair in enumerate(pairs):
            arrays |= {f"{name}/{index}/{part}": values for part, values in zip("uy", pair, strict=True)}
    for index, trace in enumerate(device.tests.values()):
        arrays[f"test/{index}/u"] = columns(trace, "drive")
        arrays[f"test/{index}/y"] = columns(trace, "output")[: device.washout]
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        np.savez(given, **arrays)
        # deepSI writes its checkpoints below the home folder.
        environment |= {"HOME": folder, "XDG_CACHE_HOME": folder, "JAX_PLATFORMS": "cpu"}
        command = [str(python), str(Path(__file__).resolve()), method, str(given), str(made), str(seed), str(limit)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1])
        with np.load(made) as results:
            runs = {name: results[f"test/{index}"] for index, name in enumerate(device.tests)}
        notes = json.loads(done.stdout.strip().splitlines()[-1])
    by_trace = {id(trace): runs[name] for name, trace in device.tests.items()}
    return (lambda test: by_trace[id(test)]), notes


def main() -> None:
    method, given, made, seed, limit = sys.argv[1:]
    with np.load(given) as arrays:
        stored = {name: arrays[name] for name in arrays}
    pairs = {
        kind: [(stored[f"{kind}/{i}/u"], stored[f"{kind}/{i}/y"]) for i in range(100) if f"{kind}/{i}/u" in stored]
        for kind in ("fitted", "unseen", "test")
    }
    began = time.process_time()
    runs, notes = {"subnet": subnet, "jax-sysid": jax_linear}[method](pairs, int(seed), float(limit))
    np.savez(made, **{f"test/{index}": run for index, run in enumerate(runs)})
    print(json.dumps({**notes, "cpu_seconds": time.process_time() - began}))


def subnet(pairs: dict[str, Any], seed: int, limit: float) -> tuple[list[Any], dict[str, Any]]:
    """Train deepSI's SUBNET with its default networks, state of 4, encoder over at most 20 samples."""
    import torch
    from deepSI import SUBNET, Input_output_data, fit, get_nu_ny_and_auto_norm

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - deepSI draws its batches from it
    known = min(len(y) for _, y in pairs["test"])
    lags = min(20, known)

    def data(u: Any, y: Any) -> Any:
        return Input_output_data(u=u, y=y, sampling_time=1.0)

    train = [data(u, y) for u, y in pairs["fitted"]]
    nu, ny, norm = get_nu_ny_and_auto_norm(train)
    model = SUBNET(nu, ny, norm, nx=4, nb=lags, na=lags)
    window = min(50, min(len(y) for _, y in pairs["fitted"]) - lags - 2)
    unseen = [data(u[:4000], y[:4000]) for u, y in pairs["unseen"]]
    # A few steps tell how many fit into the limit.
    start = time.process_time()
    settings = {"T": window, "batch_size": 256, "val_freq": 100}
    fit(model, train if len(train) > 1 else train[0], unseen if len(unseen) > 1 else unseen[0], n_its=20, **settings)
    steps = int(min(10_000, max(100, 20 * limit / (time.process_time() - start))))
    result = fit(
        model, train if len(train) > 1 else train[0], unseen if len(unseen) > 1 else unseen[0], n_its=steps, **settings
    )
    best = result["best_model"]
    runs = []
    for u, y in pairs["test"]:
        padded = np.concatenate([y, np.zeros((len(u) - len(y), y.shape[1]))])
        runs.append(np.asarray(best.simulate(data(u, padded)).y))
    return runs, {"steps": steps, "validation": float(np.nanmin(result["NRMS_val"]))}


def jax_linear(pairs: dict[str, Any], seed: int, limit: float) -> tuple[list[Any], dict[str, Any]]:
    """Fit linear models of orders 2 and 4 to the simulation error by L-BFGS; the better one in validation."""
    import jax
    from jax_sysid.models import LinearModel

    jax.config.update("jax_enable_x64", True)
    us, ys = ([pair[index][:MAX_SAMPLES] for pair in pairs["fitted"]] for index in (0, 1))
    u_mean, u_std, y_mean, y_std = (getattr(np.concatenate(parts), kind)(0) for parts in (us, ys) for kind in ("mean", "std"))
    scaled = {kind: [((u - u_mean) / u_std, (y - y_mean) / y_std) for u, y in each] for kind, each in pairs.items()}
    known = min(len(y) for _, y in pairs["test"])
    best: tuple[float, int, Any] | None = None

    def run(model: Any, u: Any, y: Any) -> Any:
        start = model.learn_x0(u[: len(y)], y, rho_x0=1e-8, RTS_epochs=1, verbosity=False)
        return np.asarray(model.predict(start, u)[0])

    for order in (2, 4):
        model = LinearModel(order, ys[0].shape[1], us[0].shape[1], feedthrough=True, seed=seed)
        model.loss(rho_x0=1e-8, rho_th=1e-8, train_x0=True)
        model.optimization(adam_epochs=500, lbfgs_epochs=500, iprint=-1)
        fitted = [(u[:MAX_SAMPLES], y[:MAX_SAMPLES]) for u, y in scaled["fitted"]]
        model.fit(*([pair[index] for pair in fitted] if len(fitted) > 1 else fitted[0][index] for index in (1, 0)))
        errors = [(run(model, u, y[:known]) - y)[known:] ** 2 for u, y in scaled["unseen"]]
        error = float(np.sqrt(np.mean(np.concatenate(errors))))
        if best is None or (np.isfinite(error) and error < best[0]):
            best = error, order, model
    assert best is not None
    runs = [run(best[2], u, y) * y_std + y_mean for u, y in scaled["test"]]
    return runs, {"order": best[1], "validation": best[0]}


if __name__ == "__main__":
    main()
