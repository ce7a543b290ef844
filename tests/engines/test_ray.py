"""What only a cluster can do wrong: nodes that die, that see other files, that are not there at all."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.filters.gopher_quality import GopherQuality
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.engines import ray as engine
from batchwright.engines.ray import RayExecutor, check_node
from batchwright.foundation import extras
from batchwright.foundation.errors import InputError, ResourceError
from batchwright.tokens import near
from batchwright.tokens.build import Progress
from batchwright.tokens.claim import WORK
from batchwright.workflows.engines import engine_named
from tests.engines import dying
from tests.engines.tasks import tasks
from tests.tokens.material import near_texts, prepare, stored_bytes, texts, write_jsonl


def test_workers_and_a_node_that_die_in_every_phase_of_prepare_cost_no_byte(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "run_on_node", dying.run_and_die)
    monkeypatch.setattr(near, "RANGE_ROWS", 800)  # several tasks compare
    source = write_jsonl(tmp_path / "a.jsonl", [*texts(80), *near_texts(12)])
    quality = GopherQuality(min_words=14, min_stop_words=0, max_mean_word_length=100, min_words_with_letters=0.2)
    settings: dict[str, Any] = {"steps": (*DEFAULT_STEPS, quality), "keep_rejected": True}
    settings |= {"near_duplicates": NearDuplicates(), "partition_bytes": 6_000}
    place = tmp_path / "here" / WORK
    died: set[str] = set()

    def look(progress: Progress) -> None:
        if progress.phase == "assembling":
            died.update(path.name for path in place.iterdir() if path.name.startswith(("killed", "blocked")))

    def remove_the_node_that_blocks() -> None:
        blocked = place / f"blocked-{dying.BLOCKS}"
        while not (blocked.exists() and blocked.read_text()):
            if ended.wait(0.02):
                return
        [node] = [each for each in ray_cluster.worker_nodes if each.node_id == blocked.read_text()]
        ray_cluster.remove_node(node, allow_graceful=False)

    ended = threading.Event()
    remover = threading.Thread(target=remove_the_node_that_blocks)
    remover.start()
    try:
        with RayExecutor(ray_cluster.address) as executor:
            prepare(source, tmp_path / "here", executor=executor, progress=look, **settings)
    finally:
        ended.set()
        remover.join()
    assert died == {f"blocked-{dying.BLOCKS}", *(f"killed-{kind}" for kind in dying.KILLS)}
    prepare(source, tmp_path / "there", **settings)
    assert stored_bytes(tmp_path / "here") == stored_bytes(tmp_path / "there")


def test_tasks_that_kill_every_worker_end_in_a_clear_error(ray_cluster: Any, tmp_path: Path) -> None:
    with RayExecutor(ray_cluster.address, attempts=2) as executor, pytest.raises(ResourceError, match="died 2 times"):
        list(executor.run(tasks("die_always", tmp_path, 1)))


def test_never_more_tasks_in_hand_than_workers_were_asked_for(ray_cluster: Any, tmp_path: Path) -> None:
    taken = []

    def watched() -> Any:
        for task in tasks("slow", tmp_path, 5):
            taken.append(task)
            yield task

    with RayExecutor(ray_cluster.address, 1) as executor:
        assert executor._window() == executor.workers == 1
        assert len(list(executor.run(watched()))) == 5


def test_a_node_that_sees_another_directory_is_refused_before_it_writes(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = engine.Mark

    def elsewhere(**fields: Any) -> engine.Mark:
        return honest(**{**fields, "path": str(tmp_path / "not-mounted" / Path(fields["path"]).name)})

    monkeypatch.setattr(engine, "Mark", elsewhere)
    with RayExecutor(ray_cluster.address) as executor, pytest.raises(InputError, match="does not see") as caught:
        list(executor.run(tasks("square", tmp_path / "job", 3)))
    assert caught.value.where == os.uname().nodename
    assert "share" in str(caught.value.remedy)
    assert list((tmp_path / "job").iterdir()) == []


def test_a_node_with_another_version_is_refused() -> None:
    with pytest.raises(InputError, match=r"has batchwright .*, the job is one of 99\.0"):
        check_node(engine.Mark(path="anywhere", word="", version="99.0"))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense", "ray://127.0.0.1:9"])
def test_an_address_where_no_cluster_is_is_refused_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ray: Any = pytest.importorskip("ray", reason="the ray extra is not installed")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InputError) as caught, RayExecutor(address):
        pass
    assert "HOST:6379" in str(caught.value.remedy)


def test_without_the_extra_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(extras.MissingExtraError) as caught, RayExecutor():
        pass
    assert caught.value.remedy == "pip install 'batchwright[ray]'"


def test_a_session_of_another_cluster_is_not_mistaken_for_the_one_asked_for(ray_cluster: Any, tmp_path: Path) -> None:
    import ray

    with pytest.raises(InputError, match="already takes part"), RayExecutor("127.0.0.1:9"):
        pass
    with RayExecutor() as guest:
        assert len(list(guest.run(tasks("square", tmp_path, 2)))) == 2
    assert ray.is_initialized(), "a guest leaves the session as it was"


def test_the_command_gives_the_same_bytes_from_a_cluster_and_from_this_machine(
    ray_cluster: Any, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts(80))
    command = [sys.executable, "-m", "batchwright.cli.main", "prepare", str(source), "--json"]
    cluster = ["--engine", "ray", "--ray-address", ray_cluster.address, "--out", "ray"]
    for words in (cluster, ["--workers", "1", "--out", str(tmp_path / "local")]):
        subprocess.run([*command, *words], check=True, capture_output=True, cwd=tmp_path)
    assert stored_bytes(tmp_path / "ray") == stored_bytes(tmp_path / "local")


def test_an_address_and_the_engine_local_contradict_each_other() -> None:
    with pytest.raises(InputError, match="the engine is local"), engine_named(ray_address="auto"):
        pass
    with pytest.raises(InputError) as caught, engine_named("rey"):  # type: ignore[arg-type]
        pass
    assert caught.value.remedy == "'ray'"


def test_nothing_imports_or_starts_ray_before_a_job_runs() -> None:
    look = "import sys; import batchwright; batchwright.RayExecutor(); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
