"""Every config loads, says what to expect of it, and can be overridden; a misspelt key is named with the nearest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from omni.ablation.census import census_of
from omni.ablation.expand import runs_of
from omni.ablation.study_file import read_study
from omni.checkpoint import config_from_dict, load_model
from omni.cli.lightning_cli import OmniCLI
from omni.losses import loss_names
from omni.nn.config import ModelConfig
from omni.optim.config import OptimConfig
from omni.planning.source import read_source
from tests.tiny_run import write_corpus

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml"))
EXPERIMENTS = [path for path in FILES if path.parts[0] == "experiment"]
STUDIES = [path for path in FILES if path.parts[0] == "ablation"]
DEMO = CONFIGS / "experiment" / "demo.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths inside a config are relative to its file, not to where the program runs."""
    monkeypatch.chdir(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict[str, Any]:
    """The whole config that ``omni fit`` would run, defaults included."""
    with pytest.raises(SystemExit) as left:
        OmniCLI.from_arguments(["fit", "--config", str(config), *arguments, "--print_config"])
    out, err = capsys.readouterr()
    assert left.value.code == 0, err
    return yaml.safe_load(out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What ``omni fit`` says of a config that it does not take."""
    with pytest.raises(SystemExit) as left:
        OmniCLI.from_arguments(["fit", *arguments])
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_file_opens_with_its_command_time_and_result(path: Path) -> None:
    lines = (CONFIGS / path).read_text().splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    for number, word in enumerate(("Command:", "Time:", "Result:"), start=1):
        assert head[number].startswith(f"# {word}"), f"{path}:{number + 1}: {head[number]!r}"
        assert head[number].removeprefix(f"# {word}").strip(), f"{path}:{number + 1} says nothing"
    assert len(head[0]) > 10, f"{path}:1: a sentence on what it is"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=str)
def test_every_experiment_loads(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    config = printed(capsys, CONFIGS / path)
    model, data, trainer = config["model"], config["data"], config["trainer"]
    config_from_dict(ModelConfig, model["network"], str(path))
    optim = model["optim"] | {"betas": tuple(model["optim"]["betas"])}
    config_from_dict(OptimConfig, optim, str(path))
    if isinstance(trainer["devices"], int) or trainer["accelerator"] == "cpu":
        ranks = trainer["num_nodes"] * (trainer["devices"] if isinstance(trainer["devices"], int) else 1)
        rows = data["batch_rows"] * ranks * (trainer["accumulate_grad_batches"] or 1)
        assert data["plan"]["global_rows"] == rows, f"{path}: rows of a step against batches x ranks"


@pytest.mark.parametrize("path", [path for path in FILES if path not in (*EXPERIMENTS, *STUDIES)], ids=str)
def test_every_part_loads_in_the_place_of_the_demos(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    key = {"model": "model.network", "data": "data", "parallel": "config"}[path.parts[0]]
    printed(capsys, DEMO, f"--{key}", str(CONFIGS / path))


@pytest.mark.parametrize("path", STUDIES, ids=str)
def test_every_study_expands_to_configs_that_load(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    """Each of its variants is a config that ``omni fit`` takes; the data are those of the study."""
    study = read_study(CONFIGS / path)
    for run in runs_of(study)[: len(study.variants)]:
        for part in run.parts:
            Path("part.yaml").write_text(yaml.safe_dump(dict(part.config)))
            assert printed(capsys, Path("part.yaml"))["model"]["network"]["layers"] > 0
    assert study.data.census is not None
    for part in runs_of(study)[0].parts:
        census_of(study.data.census[part.name or "all"], str(path))


@pytest.mark.parametrize("length", [16, 128])
def test_an_extended_model_is_the_short_one_with_yarn(length: int) -> None:
    """The weights of one fit the other, and its frequencies reach as far as its name says."""
    paths = list((CONFIGS / "model").glob(f"*-{length}k.yaml"))
    assert paths
    for path in paths:
        long = read_source(path).config
        short = read_source(path.with_name(path.name.replace(f"-{length}k", ""))).config
        assert replace(long, rope=short.rope, recompute=short.recompute) == short, path
        assert long.rope.base == short.rope.base, path
        assert long.rope.yarn.factor * long.rope.yarn.original_length == length * 1024, path
        assert short.rope.yarn.factor == 1, path


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_demo_config_trains_and_leaves_its_checkpoint_and_losses(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    OmniCLI.from_arguments(
        [
            *("fit", "--config", str(DEMO)),
            *("--data.tokenizers", str(corpus / "tokenizers")),
            *("--data.train", str(corpus / "train"), "--data.val", str(corpus / "train")),
            *("--data.plan.row_length", "256", "--data.val_rows", "2"),
            *("--trainer.default_root_dir", "run", "--trainer.max_steps", "3"),
            *("--trainer.val_check_interval", "2", "--trainer.log_every_n_steps", "1"),
            *("--trainer.logger.class_path", "lightning.pytorch.loggers.CSVLogger"),
            *("--trainer.logger.init_args.save_dir", "run"),
            *("--router_telemetry.every_n_steps", "2", "--throughput.every_n_steps", "1"),
        ]
    )
    model, _ = load_model("run/checkpoints/last.ckpt")
    assert model.config.width == 128
    (log,) = Path("run").rglob("metrics.csv")
    logged = log.read_text().splitlines()[0].split(",")
    for name in loss_names():
        assert {f"train/{name}", f"val/{name}", f"router/{name}_max_over_mean"} <= set(logged)
    assert "throughput/positions_per_second" in logged


def test_values_can_be_overridden(capsys: pytest.CaptureFixture[str]) -> None:
    config = printed(
        capsys,
        DEMO,
        *("--trainer.max_steps", "200"),
        *("--model.network.moe.top_k", "1"),
        *("--model.optim.betas", "[0.9, 0.99]"),
        *("--data.plan.row_length", "512"),
        *("--checkpoint.every_n_train_steps", "7"),
    )
    assert config["trainer"]["max_steps"] == 200
    assert config["model"]["network"]["moe"]["top_k"] == 1
    assert config["model"]["optim"]["betas"] == [0.9, 0.99]
    assert config["data"]["plan"]["row_length"] == 512
    assert config["checkpoint"]["every_n_train_steps"] == 7
    assert config["model"]["network"]["width"] == printed(capsys, DEMO)["model"]["network"]["width"]


def test_groups_of_experts_are_given_as_a_mapping_or_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    moe = "--model.network.moe"
    mapping = (f"{moe}.routing", "grouped", f"{moe}.groups", "{text: 8, image: 4, audio: 4}")
    single = (f"{moe}.routing", "hybrid", f"{moe}.groups.shared", "8", f"{moe}.groups.text", "8")
    sizes = [
        printed(capsys, DEMO, *given)["model"]["network"]["moe"]["groups"] for given in (mapping, single)
    ]
    assert sizes[0] == {"shared": 0, "text": 8, "image": 4, "audio": 4}
    assert sizes[1] == {"shared": 8, "text": 8, "image": 0, "audio": 0}


def test_a_group_of_no_modality_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--config", str(DEMO), "--model.network.moe.groups", "{video: 16}")
    assert "model.network.moe.groups.video'; did you mean 'model.network.moe.groups.image'?" in said


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("model.optim.lrr", "model.optim.lr"),
        ("model.network.widht", "model.network.width"),
        ("model.network.top_k", "model.network.moe.top_k"),
        ("trainer.max_step", "trainer.max_steps"),  # no abbreviations: they would be silent typing errors
        ("lr", "model.optim.lr"),
    ],
)
def test_a_misspelt_key_on_the_command_line(
    capsys: pytest.CaptureFixture[str], asked: str, near: str
) -> None:
    said = refused(capsys, "--config", str(DEMO), f"--{asked}", "3")
    assert f"No key {asked!r}; did you mean {near!r}?" in said


@pytest.mark.parametrize(
    ("file", "key", "misspelt", "asked", "near"),
    [
        ("model/demo.yaml", "width:", "widht:", "model.network.widht", "model.network.width"),
        ("model/demo.yaml", "top_k:", "topk:", "model.network.moe.topk", "model.network.moe.top_k"),
        ("data/demo.yaml", "row_length:", "row_lenght:", "data.plan.row_lenght", "data.plan.row_length"),
        (
            "experiment/demo.yaml",
            "warmup_steps:",
            "warmup:",
            "model.optim.warmup",
            "model.optim.warmup_steps",
        ),
        ("experiment/demo.yaml", "max_steps:", "max_stesp:", "trainer.max_stesp", "trainer.max_steps"),
    ],
)
def test_a_misspelt_key_in_a_file(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    file: str,
    key: str,
    misspelt: str,
    asked: str,
    near: str,
) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    path = tmp_path / "configs" / file
    before = path.read_text()
    assert key in before
    path.write_text(before.replace(key, misspelt, 1))
    said = refused(capsys, "--config", str(tmp_path / "configs" / "experiment" / "demo.yaml"))
    assert f"No key {asked!r}; did you mean {near!r}?" in said


def test_a_value_of_the_wrong_type_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--config", str(DEMO), "--model.network.heads", "many")
    assert "model.network.heads" in said
    assert "many" in said
    assert "did you mean" not in said


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.yaml" in refused(capsys, "--config", "nowhere.yaml")
