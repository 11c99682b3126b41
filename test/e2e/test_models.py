"""The catalogue, `turnpike models`, and other people's price lists made into models.conf's form."""

import os
import re
import shutil
import subprocess
from decimal import Decimal

import pytest

import rig

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
LITELLM = os.path.join(FIXTURES, "litellm_prices.json")
OPENROUTER = os.path.join(FIXTURES, "openrouter_models.json")
MAKERS = {
    "anthropic": "claude", "openai": "gpt", "google": "gemini", "mistral": "mistral",
    "deepseek": "deepseek", "moonshot": "kimi", "alibaba": "qwen", "zhipu": "glm", "xai": "grok",
}


@pytest.fixture
def folder():
    path = rig.scratch_folder()
    yield path
    shutil.rmtree(path)


def run(*words, status=0, cwd=TOP):
    done = subprocess.run(
        [rig.TURNPIKE, *words], cwd=cwd, capture_output=True, text=True, timeout=rig.PATIENCE,
        check=False,
    )
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done


def run_json(*words, **more):
    return rig.parse(run(*words, "--json", **more).stdout)


def notes_of(done):
    lines = done.stderr.splitlines()
    assert all(line.startswith("turnpike: ") for line in lines), lines
    return [line.removeprefix("turnpike: ") for line in lines]


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


# ---- the catalogue ---------------------------------------------------------------------------------


def test_the_sample_has_a_catalogue():
    assert run("check", "-c", "routes.conf").stdout.startswith("routes.conf: ok: ")
    models = [m for m in run_json("models")["models"] if not m["name"].startswith("sim-")]
    assert len(models) >= 60
    assert {m["currency"] for m in models} == {"USD", "CNY"}
    for family in MAKERS.values():
        assert any(m["family"] == family for m in models), family
    for model in models:
        name = model["name"]
        assert re.fullmatch(r"https://[^ ]+", model["source"]), name
        assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", model["date"]), name
        assert model["can"] and [c["name"] for c in model["channels"]] == ["value", "smart", "stable"]
        assert Decimal(model["list"]["output"]) >= Decimal(model["list"]["input"]) or \
            "embeddings" in model["can"], name
    assert sum(m["context"] is not None for m in models) >= len(models) - 1
    assert sum(len(m["tiers"]) for m in models) >= 20
    assert sum(len(m["services"]) for m in models) >= 5
    assert sum(len(m["discounts"]) for m in models) >= 4
    free = [m["name"] for m in models if Decimal(m["list"]["input"]) == 0]
    assert free == ["glm-4.7-flash"]


def test_the_catalogue_knows_makers_names():
    """The names of the makers' own, dated ones too, are no other models."""
    by_name = {}
    for model in run_json("models")["models"]:
        for name in [model["name"], *model["aliases"]]:
            assert name not in by_name
            by_name[name] = model["name"]
    assert by_name["claude-sonnet-4-5-20250929"] == "claude-sonnet-4.5"
    assert by_name["gpt-5-2025-08-07"] == "gpt-5"
    assert by_name["mistral-large-latest"] == "mistral-large-2512"


# ---- turnpike models -------------------------------------------------------------------------------

CONF = """
upstream "a" { protocol = {openai} url = "https://a.example/v1" models = {"usd-*"} }
upstream "b" { protocol = {openai} url = "https://b.example/v1" models = {"cny-*"} }
model "usd-small" {
    family = f1
    input = 0.000001  output = 10.5  cache-read = 0.1  cache-write = 2  cache-write-1h = 3
    context = 1000  max-output = 100  can = {json, tools}
    source = "https://a.example/prices"  date = "2026-01-31"
    alias = {"usd-small-1"}
    tier "high" { above = 500  inclusive = true  input = 1  output = 20 }
    service "flex" { factor = 0.333333 }
    discount "night" { from = "23:00" to = "07:30" zone = "Asia/Shanghai" factor = 0.5 }
    per-search = 0.01  audio-input = 7
}
model "cny-large" { family = f2  currency = CNY  input = 2  output = 8 }
model "usd-idle" { family = f1  input = 0  output = 0 }
channel "first" { use = {"a", "b"}  multiplier = 0.333333  multiplier-cny = 0.000007 }
channel "second" { title = "Second best"  source = "mixed"  use = {"a"}  multiplier = 5 }
"""


def test_prices_in_credits_are_exact(folder):
    conf = write(folder, "routes.conf", CONF)
    usd, cny, idle = run_json("models", "-c", conf)["models"]
    assert usd["list"]["input"] == "0.000001"
    assert [c["name"] for c in usd["channels"]] == ["first", "second"]
    first, second = usd["channels"]
    assert first["multiplier"] == "0.333333"
    assert (first["title"], first["source"]) == ("first", None)
    assert (second["title"], second["source"]) == ("Second best", "mixed")
    assert first["credits"]["input"] == "0.000000333333"
    assert first["credits"]["output"] == "3.4999965"
    assert second["credits"]["input"] == "0.000005"
    assert second["credits"]["cache_write_1h"] == "15"
    tier = second["tiers"][0]
    assert (tier["name"], tier["above"], tier["inclusive"]) == ("high", 500, True)
    assert [tier["credits"][k] for k in ("input", "output", "cache_read")] == ["5", "100", "0.5"]
    assert usd["tiers"][0]["list"]["output"] == "20"
    assert usd["list"]["per_search"] == "0.01" and usd["list"]["audio_input"] == "7"
    assert "per_image" not in usd["list"] and "per_search" not in cny["list"]
    flex, night = usd["services"][0], usd["discounts"][0]
    assert (flex["name"], flex["list"]["input"]) == ("flex", "0.000000333333")
    assert (flex["list"]["output"], flex["list"]["per_search"]) == ("3.4999965", "0.01")
    assert [night[k] for k in ("name", "from", "to", "zone")] == \
        ["night", "23:00", "07:30", "Asia/Shanghai"]
    assert night["list"]["input"] == "0.0000005"
    assert first["services"][0]["credits"]["input"] == "0.000000111110888889"
    assert first["credits"]["per_search"] == "0.00333333"
    assert second["discounts"][0]["credits"]["output"] == "26.25"
    assert (usd["context"], usd["max_output"], usd["can"]) == (1000, 100, ["tools", "json"])
    assert (usd["source"], usd["date"]) == ("https://a.example/prices", "2026-01-31")
    assert usd["aliases"] == ["usd-small-1"]
    assert cny["currency"] == "CNY" and cny["context"] is None and cny["source"] is None
    assert [c["name"] for c in cny["channels"]] == ["first"]
    assert cny["channels"][0]["credits"]["output"] == "0.000056"
    assert idle["channels"][0]["credits"]["input"] == "0"


def test_models_of_a_family_and_of_a_channel(folder):
    conf = write(folder, "routes.conf", CONF)

    def names(*words):
        return [m["name"] for m in run_json("models", "-c", conf, *words)["models"]]

    assert names() == ["usd-small", "cny-large", "usd-idle"]
    assert names("--family", "f1") == ["usd-small", "usd-idle"]
    assert names("--family", "f3") == []
    assert names("--channel", "second") == ["usd-small", "usd-idle"]
    assert names("--channel", "second", "--family", "f2") == []
    only = run_json("models", "-c", conf, "--channel", "first")["models"][0]
    assert [c["name"] for c in only["channels"]] == ["first"]


def test_models_as_text(folder):
    conf = write(folder, "routes.conf", CONF)
    lines = run("models", "-c", conf).stdout.splitlines()
    assert lines[0].split()[:4] == ["MODEL", "FAMILY", "CONTEXT", "MAX"]
    assert lines[1].split() == [
        "usd-small", "f1", "1000", "100", "tools,json", "USD", "0.000001", "10.5", "0.1", "2",
        "first", "0.000000333333/3.4999965", "second", "0.000005/52.5"]
    assert lines[2].split()[:5] == ["context", "from", "500", "1", "20"]
    assert lines[3].split()[:4] == ["service", "flex", "0.000000333333", "3.4999965"]
    assert lines[4].split()[:4] == ["23:00-07:30", "Asia/Shanghai", "0.0000005", "5.25"]
    assert lines[5].split()[-2:] == ["first", "0.000014/0.000056"]
    one = run("models", "-c", conf, "--channel", "second").stdout.splitlines()
    assert one[1].split()[-1] == "0.000005/52.5"
    assert run("models", "-c", conf, "--family", "f3").stdout == "no models\n"


def test_models_needs_a_conf_that_can_be_used(folder):
    conf = write(folder, "routes.conf", CONF)
    missing = os.path.join(folder, "missing.conf")
    assert missing in run("models", "-c", missing, status=78).stderr
    bad = write(folder, "bad.conf", CONF + 'model "m" { input = -1 output = 0 }\n')
    assert run("models", "-c", bad, status=78).stderr.startswith(f"{bad}:19: input: ")
    assert run("models", "-c", conf, "--channel", "third", status=1).stderr == \
        "turnpike: third: there is no such channel; turnpike models shows all\n"
    run("models", "-c", status=2)
    run("models", "--nothing", status=2)
    run("models", "nothing", status=2)
    # Where no file is named, it is the one that serve would take.
    assert len(run_json("models", cwd=folder)["models"]) == 3


# ---- import ----------------------------------------------------------------------------------------

LITELLM_TEXT = """\
# List prices in USD, imported from LiteLLM's price list.
# Compare them with the makers' own before you charge anybody by them.

model "claude-made-4-5" {
    family = "claude"
    input = 3
    output = 15
    cache-read = 0.3
    cache-write = 3.75
    cache-write-1h = 6
    context = 200000
    max-output = 64000
    can = {tools, vision, thinking, json}
    source = "https://made.example/prices"
    tier "above-200000" {
        above = 200000
        input = 6
        output = 22.5
        cache-read = 0.6
        cache-write = 7.5
    }
}
model "gemini-made" {
    family = "gemini"
    input = 1.25
    output = 10
    context = 1048576
    max-output = 65535
    can = {audio}
}
model "qwen-made" {
    family = "qwen"
    input = 0.05
    output = 0.4
    context = 997952
    tier "above-256000" {
        above = 256000
        input = 0.25
        output = 2
    }
}
model "text-embedding-made" {
    input = 0.02
    output = 0
    context = 8191
    can = {embeddings}
}
model "free-made" {
    family = "free"
    input = 0
    output = 0
    context = 1000
}
model "per-pixel" {
    family = "per"
    input = 1
    output = 2
}
model "every-price" {
    family = "every"
    input = 1
    output = 2
    cache-read = 0.1
    reasoning = 3
    audio-input = 4
    audio-output = 5
    image-input = 6
    image-output = 7
    per-request = 0.002
    per-search = 0.01
    service "flex" {
        input = 0.5
        output = 1
    }
    service "priority" {
        input = 2
        cache-read = 0.2
    }
}
model "tiers-and-priority" {
    family = "tiers"
    input = 1
    output = 2
    tier "above-200000" {
        above = 200000
        input = 2
    }
}
"""
LITELLM_NOTES = [
    "claude-made-4-5: taken without: input_cost_per_token_batches",
    "free-made: taken without: a cap of output beyond the context, source",
    "azure/claude-made-4-5: a model of this name was taken already",
    "too-fine: input_cost_per_token: 1.2500000000000001e-06 is finer than a millionth of a dollar "
    "per million tokens",
    "below-zero: input_cost_per_token: -1e-06 is below zero",
    "too-much: input_cost_per_token: 1.5 is too much",
    "no-number: input_cost_per_token is not a number",
    "no-output-price: no price of output is stated",
    "no-input-price: no price of input is stated",
    "pictures: mode image_generation is neither chat nor embedding",
    "no-mode: it states no mode",
    "per-pixel: taken without: input_cost_per_pixel",
    "tiers-and-priority: taken without: input_cost_per_token_above_200k_tokens_priority, priority",
    'bad "name" }: a name has letters, digits and . _ - : / @ + only',
    "an-array: it is not an object",
    "models import: 8 models taken, 11 not",
]

OPENROUTER_TEXT = """\
# List prices in USD, imported from OpenRouter's list of models.
# Compare them with the makers' own before you charge anybody by them.

model "claude-made-4.5" {
    family = "claude"
    input = 3
    output = 15
    cache-read = 0.3
    cache-write = 3.75
    context = 1000000
    max-output = 64000
    can = {tools, vision, thinking, json}
    source = "https://openrouter.ai/anthropic/claude-made-4.5"
}
model "ministral-made" {
    family = "ministral"
    input = 0.04
    output = 0.04
    context = 131072
    can = {json}
    source = "https://openrouter.ai/mistralai/ministral-made"
}
model "qwen-made:free" {
    family = "qwen"
    input = 0
    output = 0
    context = 40960
    source = "https://openrouter.ai/qwen/qwen-made:free"
}
model "text-embedding-made" {
    input = 0.02
    output = 0
    context = 8192
    can = {embeddings}
    source = "https://openrouter.ai/openai/text-embedding-made"
}
"""
OPENROUTER_NOTES = [
    "anthropic/claude-made-4.5: taken without: image",
    "qwen/qwen-made:free: taken without: a cap of output beyond the context",
    "openrouter/auto: its price hangs on where a call goes",
    "google/pictures-made: it answers neither text nor embeddings",
    "x-ai/too-fine: prompt: 0.0000000000001 is finer than a millionth of a dollar per million "
    "tokens",
    "elsewhere/claude-made-4.5: a model of this name was taken already",
    "deepseek/no-pricing: it states no prices",
    "?: an entry has no id",
    "models import: 4 models taken, 6 not",
]


@pytest.mark.parametrize("path, kind, text, notes", [
    (LITELLM, "litellm", LITELLM_TEXT, LITELLM_NOTES),
    (OPENROUTER, "openrouter", OPENROUTER_TEXT, OPENROUTER_NOTES),
])
def test_import(folder, path, kind, text, notes):
    done = run("models", "import", path)
    assert done.stdout == text
    assert notes_of(done) == notes
    assert run("models", "import", path, "--format", kind).stdout == text

    document = run_json("models", "import", path)
    assert document["format"] == kind and document["text"] == text
    assert [f"{n['model']}: {n['why']}" for n in document["notes"]] == notes[:-1]
    assert f"models import: {document['taken']} models taken, {document['refused']} not" == notes[-1]

    out = os.path.join(folder, "imported.conf")
    assert run("models", "import", path, "--out", out).stdout == ""
    with open(out, encoding="utf-8") as f:
        assert f.read() == text
    assert os.listdir(folder) == ["imported.conf"]

    # And round: what was written is what is read.
    conf = write(folder, "routes.conf", 'include("imported.conf")\n'
                 'upstream "u" { protocol = {openai} url = "https://u.example/v1" }\n'
                 'channel "c" { use = {"u"} }\n')
    assert "ok: 1 upstreams" in run("check", "-c", conf).stdout
    models = run_json("models", "-c", conf)["models"]
    assert [m["name"] for m in models] == re.findall(r'^model "(.*)"', text, re.M)
    for model in models:
        section = text[text.index(f'model "{model["name"]}"'):].split("\n}\n")[0]
        for key, value in re.findall(r"^    ([a-z0-9-]+) = ([0-9.]+)$", section, re.M):
            key = key.replace("-", "_")
            assert str(model.get(key, model["list"].get(key))) == value, model["name"]


def test_import_of_one_maker():
    def names(path, maker):
        return re.findall(r'^model "(.*)"', run("models", "import", path, "--maker", maker).stdout,
                          re.M)

    assert names(LITELLM, "google") == ["gemini-made"]
    assert names(LITELLM, "gemini") == ["gemini-made"]
    assert names(LITELLM, "azure") == ["claude-made-4-5"]
    assert names(LITELLM, "alibaba") == ["qwen-made"]
    assert names(OPENROUTER, "mistral") == ["ministral-made"]
    assert names(OPENROUTER, "qwen") == ["qwen-made:free"]
    assert names(OPENROUTER, "openai") == ["text-embedding-made"]


def test_what_cannot_be_imported(folder):
    def error(text, *words, status=1):
        path = write(folder, "list.json", text)
        done = run("models", "import", path, *words, status=status)
        assert done.stdout == ""
        return done.stderr.replace(path, "FILE").splitlines()

    assert error("{") == ["turnpike: FILE: it is not JSON"]
    assert error("{}") == error("3") == error('{"a": {"b": 1}}') == [
        "turnpike: FILE: it is neither LiteLLM's price list nor OpenRouter's list of models"]
    assert error("[]", "--format", "litellm") == [
        "turnpike: FILE: it is not a list of that format"]
    assert error("[]") == ["turnpike: models import: 0 models taken, 0 not",
                           "turnpike: FILE: nothing could be taken"]
    assert error('[{"id": "a"}]')[0] == "turnpike: a: it states no prices"
    assert error('{"a": {"litellm_provider": "x"}}', "--maker", "y")[-1] == \
        "turnpike: FILE: nothing could be taken; none of its models is by this maker"
    assert error("{}", "--format", "yaml", status=2) == [
        "turnpike: --format: there is no such format; litellm or openrouter"]
    assert run("models", "import", os.path.join(folder, "none.json"), status=1).stderr.endswith(
        "none.json: it cannot be read; No such file or directory\n")
    assert run("models", "import", LITELLM, "--out", os.path.join(folder, "no", "where.conf"),
               status=1).stderr.endswith("it cannot be written; No such file or directory\n")
    run("models", "import", status=2)
    # What a list calls its models does not reach the terminal as it is.
    assert error('[{"id": "a\\u001b[2Jb\\nc"}]')[0] == "turnpike: a?[2Jb?c: it states no prices"


def test_import_states_prices_exactly(folder):
    """Every way to write a number, against decimal arithmetic: the same amount, or refused."""
    amounts = ["0", "0.0", "0e9", "-0", "1e-6", "1E-06", "0.000001", "1.0e-6", "0.001e-3", "100e-8",
               "1.25e-06", "2.5000e-07", "1e-12", "9.99999e-7", "123456e-12", "1e-13", "1.5e-12",
               "1e-0", "1.000001", "0.9999999999991", "1e1", "1e400", "1e-400", "-1e-6", "12e-7"]
    for amount in amounts:
        entry = '{"id": "m", "pricing": {"prompt": "%s", "completion": 0}}' % amount
        path = write(folder, "list.json", f"[{entry}]")
        micros = Decimal(amount) * 10**12
        fits = micros == int(micros) and 0 <= micros <= 10**12 if abs(micros) < 10**20 else False
        if not fits:
            run("models", "import", path, status=1)
            continue
        text = run("models", "import", path).stdout
        assert Decimal(re.search(r"input = (\S+)", text)[1]) == Decimal(amount) * 10**6, amount
