"""`strata bench switch` counts what the specifications say happens on each path, and the same each time."""
import json
from pathlib import Path

import pytest

from tools.bench.switch import baseline, measure, scenario
from tools.bench.switch.rig import GuestError
from tools.bench.switch.scenario import CALL, CALL_NORMAL, INTERRUPT, LOWER, SEPARATE, SHARED

WARM, COLD = measure.WARM, measure.COLD
BASELINE = Path(__file__).with_name("baseline.json")
AVX_IMAGE = 512 + 64 + 256          # XSAVE image with x87, SSE and AVX state (SDM Vol. 1 13.4)
POLICIES = ("USER", "LOWEST_RUNNABLE", "HIGHEST_RUNNABLE", "HV_TLFS_LITERAL", "TDX", "CCA", "MPP(0)")


def every_scenario():
    return [each for planes in scenario.FAMILIES for policy in scenario.policies(planes)
            for each in scenario.scenarios(planes, policy)]


@pytest.fixture(scope="module")
def results():
    return {each.name: measure.measure(each, host=False) for each in every_scenario()}


def counts(results, name, fpu=SHARED, tlb=WARM):
    return results[name].variant(fpu, tlb).counts


def test_every_design_and_policy_is_there(results):
    expected = {f"vsm/ms/{task}" for task in (CALL, CALL_NORMAL, INTERRUPT, LOWER)}
    expected |= {f"kvm/{policy}/{task}" for policy in POLICIES for task in (CALL, INTERRUPT, LOWER)}
    assert set(results) == expected | {"snp/kvm/call"}


def test_nothing_is_worse_than_it_was_and_nothing_else(results):
    worse, notes = baseline.compare(baseline.read(str(BASELINE)), results.values(), "the baseline")
    assert (worse, notes) == ([], [])
    kept = {entry["name"]: entry for entry in json.loads(BASELINE.read_text())["paths"]}
    for name, result in results.items():
        for variant, old in zip(result.variants, kept[name]["variants"], strict=True):
            assert variant.counts.flat() == old["counts"]


def test_a_call_and_fast_return_are_two_switches_and_what_the_code_pages_do(results):
    path = results["vsm/ms/call"].path
    assert [plane for plane, _, _ in path] == [0] * 5 + [1] * 7 + [0]
    assert [text for _, _, text in path].count("vmmcall") == 2
    found = counts(results, "vsm/ms/call")
    # CALL reads the pointer to the code page and pushes; RET pops; the service reads where to go on.
    assert (found.instructions, found.reads, found.writes, found.switches, found.exits) == (13, 5, 2, 2, 2)
    assert (found.tlb_fills, found.walk_steps, found.userspace_exits, found.deliveries) == (0, 0, 0, 0)


def test_vtls_put_aside_what_the_tlfs_calls_private(results):
    """RIP, RSP and RFLAGS of the general registers; DR6 and DR7; CR0, CR3, CR4, CR8 (TLFS, private VTL state)."""
    state = counts(results, "vsm/ms/call").state
    assert (state["general"], state["debug"], state["control"], state["segments"]) == (2 * 3, 2 * 2, 2 * 4, 2 * 8)


def test_run_vmpl_is_asked_for_in_the_ghcb_msr_both_ways(results):
    """GHCB specification, MSR protocol 0x016; a VMSA holds everything (APM Vol. 2 table B-4)."""
    path, found = results["snp/kvm/call"].path, counts(results, "snp/kvm/call", SEPARATE)
    assert [plane for plane, _, _ in path] == [1] * 5 + [0] * 6
    assert [text for _, _, text in path].count("vmgexit") == 2
    assert (found.instructions, found.switches, found.exits, found.userspace_exits) == (11, 2, 2, 0)
    assert (found.reads, found.writes) == (0, 0)
    assert (found.state["general"], found.fpu_switches) == (2 * 18, 2)


def test_kvm_planes_share_no_register(results):
    state = counts(results, "kvm/LOWEST_RUNNABLE/call").state
    assert (state["general"], state["debug"], state["control"]) == (2 * 18, 2 * 6, 2 * 6)


@pytest.mark.parametrize("name", ("vsm/ms/call", "kvm/LOWEST_RUNNABLE/call", "kvm/USER/call"))
def test_only_separate_fpus_are_saved(results, name):
    shared, separate = counts(results, name), counts(results, name, SEPARATE)
    assert (shared.fpu_switches, shared.fpu_bytes) == (0, 0)
    assert (separate.fpu_switches, separate.fpu_bytes) == (2, 2 * AVX_IMAGE)
    assert separate.instructions == shared.instructions


def test_cold_paths_walk_for_each_page_and_warm_ones_for_none(results):
    """Pages of 2 MiB: a walk reads three entries (SDM Vol. 3A 4.5)."""
    for name, result in results.items():
        for fpu in (SHARED, SEPARATE):
            assert counts(results, name, fpu).tlb_fills == 0
            cold = result.variant(fpu, COLD).counts
            assert cold.tlb_fills >= 2 and cold.walk_steps == 3 * cold.tlb_fills


def test_an_interrupt_enters_the_higher_plane_at_once(results):
    for name in ("vsm/ms/interrupt", "kvm/LOWEST_RUNNABLE/interrupt", "kvm/HIGHEST_RUNNABLE/interrupt"):
        found, path = counts(results, name), results[name].path
        assert (found.switches, found.exits, found.routed, found.deliveries, found.apic_accesses) == (2, 2, 1, 1, 1)
        assert path[0][1] in ("on_service", "on_plane") and path[-1][1] == "path_interrupt"
        assert path[0][0] != path[-1][0]


def test_vina_tells_vtl1_before_vtl0_takes_its_interrupt(results):
    """TLFS, Virtual interrupt notification assist."""
    path, found = results["vsm/ms/lower-interrupt"].path, counts(results, "vsm/ms/lower-interrupt")
    assert path[0][:2] == (1, "on_vina") and (0, "on_device") in [step[:2] for step in path]
    assert (found.switches, found.routed, found.deliveries, found.apic_accesses) == (1, 2, 2, 2)


def test_userspace_decides_each_switch_under_user_and_none_elsewhere(results):
    for name in results:
        user = "/USER/" in name
        found = counts(results, name)
        assert found.userspace_exits == (found.switches if user else 0)


def test_tdx_takes_interrupts_of_lower_planes_through_the_marked_one(results):
    """MPP(0) and mediated: three switches where the others need one."""
    assert counts(results, "kvm/TDX/lower-interrupt").switches == 3
    assert counts(results, "kvm/MPP(0)/lower-interrupt").switches == 1


@pytest.mark.parametrize("name", ("vsm/ms/call", "kvm/USER/call", "vsm/ms/interrupt"))
def test_host_time_is_measured(monkeypatch, name):
    for constant, value in (("SAMPLES", 5), ("BATCH", 20), ("WARM_UP", 100), ("WARM_UP_SECONDS", 0.0)):
        monkeypatch.setattr(measure, constant, value)
    each = next(each for each in every_scenario() if each.name == name)
    found = measure.host_time(each.open_rig(SHARED, "auto"))
    assert 0 < found.median <= found.p90 <= found.p99
    assert found.batch == (20 if name == "vsm/ms/call" else 1)


def test_nearest_rank():
    assert [measure.nearest_rank([1, 2, 3, 4], percent) for percent in (25, 26, 99, 100)] == [1, 2, 4, 4]


def test_a_guest_without_the_label_is_refused():
    each = next(iter(scenario.scenarios("vsm", "ms")))
    rig = each.open_rig(SHARED, "interp")
    with pytest.raises(GuestError, match="no symbol nowhere"):
        rig.symbol("nowhere")
    rig.begin = 0x42
    with pytest.raises(GuestError, match="does not come to 0x42"):
        rig.advance()
