"""What XLA has compiled is found again by the next process, as long as it is whole."""

import os
import time

import pytest

from tests.conftest import run_script
from tests.test_devices import needs_jax

# Prints how many programs this process was given, and a sum.
COMPILING = """
import os
from experiments import cli
cli.import_keras()
print(len(os.listdir(os.environ["JAX_COMPILATION_CACHE_DIR"])))
import keras
x = keras.ops.eye(50)
if keras.backend.backend() == "jax":
    import jax
    print(float(jax.jit(lambda x: (x @ x).sum())(x)))
else:
    import tensorflow as tf
    print(float(tf.function(lambda x: tf.reduce_sum(tf.matmul(x, x)), jit_compile=True)(x)))
"""
# Stands for TensorFlow: writes programs of these names and sizes where it is told to.
WRITING = """
import os, re, sys
from pathlib import Path
from experiments.compiled_programs import keep_compiled_programs
keep_compiled_programs()
own = re.search("directory='(.*?)'", os.environ.get("TF_XLA_FLAGS", ""))
print(sorted(path.name for path in Path(own[1]).iterdir()) if own else None)
for name, size in zip(sys.argv[1::2], sys.argv[2::2]):
    Path(own[1], name).write_bytes(os.urandom(int(size)))
"""


def run(code, *arguments):
    """What a process prints, line by line."""
    result = run_script("-c", code, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def kept(home):
    """The programs on disk, oldest first."""
    return sorted(
        home.glob("mini_transformer/compiled/*/[!.]*"), key=lambda path: path.stat().st_mtime
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=needs_jax)])
def test_a_program_is_compiled_once_and_again_when_it_was_damaged(keras_home, backend, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    assert run(COMPILING) == ["0", "50.0"]
    programs = kept(keras_home)
    assert run(COMPILING) == [str(len(programs)), "50.0"]
    assert kept(keras_home) == programs
    programs[-1].write_bytes(programs[-1].read_bytes()[:-100])
    assert run(COMPILING) == [str(len(programs) - 1), "50.0"]
    assert run(COMPILING) == [str(len(programs)), "50.0"]


def test_a_program_that_two_processes_compiled_is_kept_once(keras_home):
    another = (
        f"import subprocess\nsubprocess.run([sys.executable, '-c', {WRITING!r}, 'a.pb', '10'])"
    )
    run(WRITING + another, "a.pb", 10)
    assert len(kept(keras_home)) == 1


def test_nothing_of_a_process_stays_but_its_programs(keras_home):
    assert run(WRITING, "a.pb", 10, "b.pb", 10) == ["[]"]
    assert run(WRITING) == ["['a.pb', 'b.pb']"]
    assert len(kept(keras_home)) == 2
    assert len(list(kept(keras_home)[0].parent.iterdir())) == 2


def test_the_oldest_programs_make_room(keras_home):
    for name in ("a.pb", "b.pb", "c.pb"):
        time.sleep(0.01)  # or two could have one time
        run(WRITING, name, 80 * 2**20)
    assert run(WRITING) == ["['b.pb', 'c.pb']"]


def test_what_a_killed_process_left_is_removed_when_it_is_old(keras_home):
    run(WRITING, "a.pb", 10)
    folder = kept(keras_home)[0].parent
    for name, days in ((".young", 1), (".old", 3)):
        (folder / name).mkdir()
        os.utime(folder / name, (time.time() - days * 24 * 3600,) * 2)
    run(WRITING)
    assert [path.name for path in folder.glob(".*")] == [".young"]


def test_other_processors_and_flags_have_programs_of_their_own(keras_home, monkeypatch):
    run(WRITING, "a.pb", 10)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=512")
    assert run(WRITING) == ["[]"]


def test_the_users_own_folder_is_left_to_jax(keras_home, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert run(WRITING) == ["None"]
    assert not keras_home.exists()


def test_the_users_own_folder_is_left_to_tensorflow(keras_home, monkeypatch, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setenv("TF_XLA_FLAGS", f"--tf_xla_persistent_cache_directory='{theirs}'")
    assert run(WRITING, "a.pb", 10) == ["[]"]
    assert (theirs / "a.pb").exists()
    assert not keras_home.exists()


def test_a_process_does_not_take_the_folder_of_the_one_that_started_it(keras_home, monkeypatch):
    run(WRITING, "a.pb", 10)
    of_parent = kept(keras_home)[0].parent / ".parent"
    of_parent.mkdir()
    flags = f"--tf_xla_auto_jit=0 --tf_xla_persistent_cache_directory='{of_parent}' --more"
    monkeypatch.setenv("TF_XLA_FLAGS", flags)
    assert run(WRITING) == ["['a.pb']"]
    assert of_parent.exists()


def test_where_no_folder_can_be_made_nothing_is_kept(keras_home):
    keras_home.write_text("a file")
    assert run(WRITING) == ["None"]
