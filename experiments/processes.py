"""One training in several processes, on one machine or on several: JAX's and Keras's own engine.

Every process builds the same model and computes its share of each batch. The first one alone
watches, prints and writes: the others train in a folder of their own, which is deleted at the end.
All of them need the same settings and text, and to go on with a run, its folder.
"""

import atexit
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import callbacks
from data.corpora import Corpus
from experiments import runs
from experiments.cli import UsageError, quiet
from experiments.settings import Settings

CONNECT_SECONDS = 60  # how long a process waits for the others
DEAD_SECONDS = 20  # after so long without a sign of life a process counts as dead
_AGREE_EVERY = 10  # steps


def connect(flags, settings: Settings, *texts: Corpus | None) -> None:
    """Makes this process one of several that train together.

    Args:
        flags: with `coordinator`, where the first of them listens, "HOST:PORT"; `processes`, how
            many there are; `process_id`, which one this is, from 0.
        settings: the run's, which all must have been given alike.
        texts: what it is trained on, which all must have alike.

    Raises:
        UsageError: another backend than JAX, no answer within `CONNECT_SECONDS`, or processes that
            were given different settings.
    """
    coordinator, processes, process_id = flags.coordinator, flags.processes, flags.process_id
    if keras.backend.backend() != "jax":
        raise UsageError(
            f"argument --processes: expected 1 with {keras.backend.backend()}, got {processes}; "
            "only JAX trains in several (KERAS_BACKEND=jax)"
        )
    from jax.experimental import multihost_utils

    # JAX ends a process without a word to Python when the others don't come, so they meet before.
    host, _, port = coordinator.rpartition(":")
    try:
        if process_id == 0:
            _await_others(int(port), processes)
        else:
            _report_to_first(host, int(port), process_id)
    except OSError as error:
        raise UsageError(
            f"argument --coordinator: expected {processes} processes to meet at {coordinator} "
            f"within {CONNECT_SECONDS} seconds, got {error.strerror or error}"
        ) from error
    # Or else JAX would end this process, with a stack trace, as soon as another one is dead. The
    # step that waits for it says so too.
    _jax().config.update("jax_enable_recoverability", True)
    with quiet():
        _jax().distributed.initialize(
            coordinator, processes, process_id, heartbeat_timeout_seconds=DEAD_SECONDS
        )
    alike = [
        {**dataclasses.asdict(settings), "logs": None, "corpus": None, "validation": None},
        [text and text.sha256 for text in texts],
        [flags.resume, flags.devices, flags.model_parallel],
    ]
    digest = hashlib.sha256(json.dumps(alike).encode()).digest()[:8]
    with _quiet_gloo():
        digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    if not (digests == digests[0]).all():
        raise UsageError("argument --processes: expected the same settings and text in all of them")


def meet(mesh: keras.distribution.DeviceMesh) -> None:
    """Has devices of different processes add up something, as they will in each step."""
    jax = _jax()
    layout = keras.distribution.TensorLayout(("batch", "model"), mesh).backend_layout
    with _quiet_gloo():
        ones = jax.make_array_from_callback(
            mesh.shape, layout, lambda index: np.ones(mesh.shape)[index]
        )
        jax.block_until_ready(jax.jit(lambda ones: (ones.sum(0), ones.sum()))(ones))


@contextlib.contextmanager
def _quiet_gloo():
    """Gloo prints a line for each connection that it makes."""
    with quiet(), quiet(sys.stdout):
        yield


def _await_others(port, processes):
    """Waits until all other processes have said that they are there, and answers them."""
    end = time.monotonic() + CONNECT_SECONDS
    there = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("", port)))
        while len(there) < processes - 1:
            server.settimeout(max(end - time.monotonic(), 0.01))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = sorted(set(range(1, processes)) - set(there))
                raise TimeoutError(f"no process {', '.join(map(str, missing))}") from None
            stack.enter_context(connection).settimeout(CONNECT_SECONDS)
            with contextlib.suppress(ValueError):  # not one of us
                there[int(connection.recv(16))] = connection
        for connection in there.values():
            connection.sendall(b"all")


def _report_to_first(host, port, process_id):
    """Says to process 0 that this one is there, and waits until all are."""
    end = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    with connection:
        connection.sendall(str(process_id).encode())
        if connection.recv(3) != b"all":
            raise ConnectionError("an end of process 0")


def count() -> int:
    """How many processes train together; 1 for a training on its own."""
    return _jax().process_count() if keras.backend.backend() == "jax" else 1


def number() -> int:
    """Which of them this is, from 0."""
    return _jax().process_index() if keras.backend.backend() == "jax" else 0


def _jax():
    import jax  # where it is needed: who trains with TensorFlow needs none

    return jax


def is_first() -> bool:
    """Whether this process is the one that watches, prints and writes."""
    return number() == 0


def own_folder(resumed: Path | None) -> Path:
    """A folder for what a process other than the first writes, with the checkpoint to go on from.

    It is deleted when the process ends.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if resumed is not None:
        shutil.copy(resumed / runs.CHECKPOINT, folder)
    return folder


def own_rows(batches):
    """Of each batch of a `tf.data.Dataset` the rows that this process computes."""
    import tensorflow as tf

    if count() == 1:
        return batches

    def share(*batch):
        return tf.nest.map_structure(
            lambda rows: rows[number() * len(rows) // count() :][: len(rows) // count()], batch
        )

    return batches.map(share)


class OwnCopy:
    """The model of all processes as this one has it, in a `with` statement.

    Variables that lie on devices of several processes can be computed with by all of them at once
    only. Each process has all of their parts: within the statement they are variables on its own
    devices. What changes there is theirs afterwards, so all processes must change it alike.
    Nothing is copied.

    Args:
        model: compiled, its optimizer built.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._own = keras.distribution.distribution().of_this_process()
        self._functions = dict.fromkeys(("train_function", "test_function", "predict_function"))

    def __enter__(self):
        self._whole = keras.distribution.distribution()
        keras.distribution.set_distribution(self._own)
        self._swap_functions()
        every = (
            *(*self.model.variables, *self.model.optimizer.variables),
            *self.model.metrics_variables,
        )
        self._kept = []
        for variable in {id(variable): variable for variable in every}.values():
            value, layout = variable._value, variable._layout
            variable._layout = keras.distribution.TensorLayout(layout.axes, self._own.device_mesh)
            variable._value = own = _laid_out(value, variable._layout.backend_layout)
            self._kept.append((variable, value, layout, own))

    def __exit__(self, *exception):
        for variable, value, layout, own in self._kept:
            if variable._value is not own:
                value = _laid_out(variable._value, layout.backend_layout)
            variable._value, variable._layout = value, layout
        self._swap_functions()
        keras.distribution.set_distribution(self._whole)

    def _swap_functions(self):
        """What Keras compiled is for one layout of the variables alone."""
        for name, function in self._functions.items():
            self._functions[name] = getattr(self.model, name)
            setattr(self.model, name, function)


def keep_own_copy(model: keras.Model) -> None:
    """Makes a model that all processes have trained this one's own (`OwnCopy`), for good."""
    OwnCopy(model).__enter__()


def _laid_out(value, sharding):
    """The same parts on the same devices, as an array of more or fewer devices."""
    jax = _jax()
    if value.is_fully_replicated and sharding.is_fully_addressable:
        # Not by its parts: what `device_put` made of an array for several processes has none.
        return jax.device_put(value.addressable_data(0), sharding)
    parts = [shard.data for shard in value.addressable_shards]
    return jax.make_array_from_single_device_arrays(value.shape, sharding, parts)


class OnOwnCopy(keras.callbacks.Callback):
    """Has other callbacks look at the model as this process has it (`OwnCopy`).

    After single steps they see their figures, but no model.
    """

    def __init__(self, others: Sequence[keras.callbacks.Callback]):
        super().__init__()
        self.others = others

    def on_train_begin(self, logs=None):
        self._list = keras.callbacks.CallbackList(self.others, model=self.model, **self.params)
        self._copy = OwnCopy(self.model)
        self._call("on_train_begin", logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._list.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._list.on_train_batch_end(batch, logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._call("on_epoch_end", epoch, logs)

    def on_test_begin(self, logs=None):
        self._call("on_test_begin", logs)

    def on_test_end(self, logs=None):
        self._call("on_test_end", logs)

    def on_train_end(self, logs=None):
        self._call("on_train_end", logs)

    def _call(self, hook, *arguments):
        _ = self.model  # Keras puts what the last step made into the variables
        with self._copy:
            getattr(self._list, hook)(*arguments)


class StopOnInterrupt(callbacks.StopOnInterrupt):
    """Ends the training in all processes, after the same step, when one of them is asked to end.

    They agree every few steps and at the end of each epoch.
    """

    def on_train_batch_end(self, batch, logs=None):
        from jax.experimental import multihost_utils

        if (batch + 1) % _AGREE_EVERY and batch + 1 != self.params["steps"]:
            return
        asked = multihost_utils.process_allgather(np.int32(self.stopped_by or 0)).max()
        if asked:
            self.stopped_by = signal.Signals(int(asked))
            self.model.stop_training = True


def is_about_another(error: Exception) -> bool:
    """Whether an error came of another process that ended or can't be reached."""
    if count() == 1:
        return False
    # On a processor Gloo says so, with a ValueError where JAX compares; on GPUs NCCL does.
    said = str(error)
    is_theirs = isinstance(error, _jax().errors.JaxRuntimeError)
    return is_theirs or any(word in said for word in ("Gloo", "NCCL", "oordination service"))


def end_at_once(status: int) -> None:
    """Ends this process without waiting for the others, which may be dead."""
    os._exit(status)
