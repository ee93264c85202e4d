"""Price lists: what is in them, what is refused, and what is made of them."""
import pytest

from tools.bench.switch import costs, plots, sensitivity
from tools.bench.switch.costs import CAUSES, PRICES, CostError
from tools.bench.switch.counts import NAMES, Counts
from tools.bench.switch.measure import COLD, WARM, Result, Variant
from tools.bench.switch.scenario import CALL, SEPARATE, SHARED, Scenario

SETS = ("hyperv", "kvm-userspace", "zen4-snp")


def test_there_are_sets_for_three_kinds_of_host():
    assert costs.names() == SETS


@pytest.mark.parametrize("name", SETS)
def test_each_price_has_a_source_or_says_that_it_was_assumed(name):
    found = costs.load(name)
    assert list(found.prices) and set(found.prices) == set(PRICES)
    for price in found.prices.values():
        assert price.source and price.low <= price.cycles <= price.high


def test_every_count_is_priced_or_follows_from_one_that_is():
    priced = {name for kind in PRICES.values() for name in kind.counts}
    assert set(NAMES) == priced and {kind.cause for kind in PRICES.values()} == set(CAUSES)


def a_list(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_file_may_include_a_set_and_change_some_prices(tmp_path):
    mine = costs.load(a_list(tmp_path, 'include = "hyperv"\n[world_switch]\ncycles = 7\nassumption = "because"\n'))
    theirs = costs.load("hyperv")
    assert mine.prices["world_switch"] == (7, 7, 7, "because", True)
    assert {key: price for key, price in mine.prices.items() if key != "world_switch"} == {
        key: price for key, price in theirs.prices.items() if key != "world_switch"}
    assert mine.name == "mine.toml" and mine.title == theirs.title


ENTRY = 'include = "hyperv"\n[world_switch]\n'


@pytest.mark.parametrize("text, says", [
    ("[", "mine.toml: "),
    ('include = "hyperx"', "include: 'hyperx' is not one of"),
    ('title = "x"\nmhz = 1\ndesigns = []', "instruction: is missing"),
    ('include = "hyperv"\nmhz = 0', "mhz: must be a number above 0"),
    ('include = "hyperv"\ntitle = 3', "title: must be a text"),
    ('include = "hyperv"\ndesigns = ["tdx"]', "designs: must be a list of"),
    ('include = "hyperv"\n[world_swich]\ncycles = 1\nsource = "x"', "world_swich: no such price; there are "),
    ('include = "hyperv"\nworld_switch = 3', "world_switch: must be a table with cycles"),
    (ENTRY + 'cycles = -1\nsource = "x"', "world_switch.cycles: must be a number, 0 or more"),
    (ENTRY + 'cycles = true\nsource = "x"', "world_switch.cycles: must be a number, 0 or more"),
    (ENTRY + 'cycles = inf\nsource = "x"', "world_switch.cycles: must be a number, 0 or more"),
    (ENTRY + 'cycles = 5\nlow = 6\nsource = "x"', "world_switch: low 6, cycles 5, high 5 are not in that order"),
    (ENTRY + "cycles = 5", "world_switch: must have either a source or an assumption"),
    (ENTRY + 'cycles = 5\nsource = "x"\nassumption = "y"', "world_switch: must have either"),
    (ENTRY + 'cycles = 5\nsource = " "', "world_switch: must have either"),
    (ENTRY + 'cycles = 5\nsource = "x"\nnanoseconds = 3', "world_switch.nanoseconds: not one of"),
])
def test_what_cannot_be_used_is_named_in_one_line(tmp_path, text, says):
    with pytest.raises(CostError) as caught:
        costs.load(a_list(tmp_path, text))
    assert says in str(caught.value) and "mine.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_is_neither():
    with pytest.raises(CostError, match="'nowhere': neither a file nor one of hyperv, "):
        costs.load("nowhere")


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CostError, match="mine.toml"):
        costs.load(str(path))


def result(policy, **found):
    counts = Counts(**found)
    variants = [Variant(fpu, tlb, counts) for fpu in (SHARED, SEPARATE) for tlb in (WARM, COLD)]
    return Result(Scenario("kvm", policy, CALL, "", lambda fpu, engine: None), [(0, "a", "nop")], variants)


def test_cycles_are_counts_times_prices_by_cause():
    hyperv = costs.load("hyperv")
    counts = Counts(instructions=10, exits=2, reads=3, writes=1, state={"general": 4, "msrs": 5, "segments": 0,
                                                                       "tables": 0, "control": 0, "debug": 0}).flat()
    price = {name: each.cycles for name, each in hyperv.prices.items()}
    causes = hyperv.by_cause(counts)
    assert causes["guest code"] == 10 * price["instruction"] + 4 * price["memory_access"]
    assert causes["world switch"] == 2 * price["world_switch"]
    assert causes["state save"] == 4 * price["state_general"] + 5 * price["state_msrs"]
    assert sum(causes.values()) == hyperv.total(counts) == sum(hyperv.cycles(counts).values())


def test_the_flip_is_where_both_cost_the_same(tmp_path):
    """A pays three world switches, B one and a userspace exit: dearer userspace exits make A the cheaper one."""
    results = [result("A", exits=3), result("B", exits=1, userspace_exits=1)]
    mine = costs.load("kvm-userspace")
    (found,) = sensitivity.rank(results, [mine], SHARED, WARM)
    totals = {name: mine.total(each.variant(SHARED, WARM).counts.flat())
              for name, each in zip(("kvm/A", "kvm/B"), results, strict=True)}
    assert found.first == min(totals, key=totals.get) and found.more == pytest.approx(abs(totals["kvm/A"]
                                                                                          - totals["kvm/B"]))
    assert {flip.price for flip in found.flips} == {"world_switch", "userspace_exit", "userspace_decision"}
    for flip in found.flips:
        changed = costs.load(a_list(tmp_path, f'include = "kvm-userspace"\n[{flip.price}]\ncycles = {flip.at}\n'
                                              'source = "x"\n'))
        ones, others = (changed.total(each.variant(SHARED, WARM).counts.flat()) for each in results)
        assert ones == pytest.approx(others, abs=0.1)


def test_flips_within_their_range_come_first():
    results = [result("A", exits=3), result("B", exits=1, userspace_exits=1)]
    (found,) = sensitivity.rank(results, [costs.load("kvm-userspace")], SHARED, WARM)
    likely = [flip.likely for flip in found.flips]
    assert likely == sorted(likely, reverse=True) and found.flips[0].price == "userspace_decision"


def test_what_costs_more_of_everything_is_never_the_cheaper_one():
    (found,) = sensitivity.rank([result("A", exits=1), result("B", exits=2, switches=5)], [costs.load("hyperv")],
                                SHARED, WARM)
    assert found.flips == [] and found.first == "kvm/A"


def test_designs_that_cost_the_same_are_tied():
    results = [result("A", exits=1), result("B", exits=1), result("C", exits=2)]
    (found,) = sensitivity.rank(results, [costs.load("hyperv")], SHARED, WARM)
    assert (found.first, found.second, found.tied_with) == ("kvm/A", "kvm/C", {"kvm/A": ["kvm/B"]})


def test_a_chart_is_drawn_even_where_everything_is_free():
    assert "kvm/A" in plots.chart([result("A")], [costs.load("hyperv")], SHARED, WARM, everywhere=True)
