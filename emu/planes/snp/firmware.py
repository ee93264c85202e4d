"""The security processor's firmware as one guest knows it: launching it, and answering its messages (FWABI, 8).

Its keys come from the machine's seed, so that a run can be repeated. They are no secret from who runs the emulator.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

from emu.planes.snp import cpuid_page, derived_key, id_block, measurement, report, secrets_page, tcb, vmsa
from emu.planes.snp.cpuid_page import Read
from emu.planes.snp.derived_key import Identity
from emu.planes.snp.firmware_status import (
    AEAD_OFLOW,
    BAD_MEASUREMENT,
    INVALID_PARAM,
    MESSAGE_INVALID,
    MESSAGE_INVALID_KEY,
    MESSAGE_OK,
    POLICY_FAILURE,
    SUCCESS,
    FirmwareError,
)
from emu.planes.snp.guest_message import Message, MessageError, MessageType, open_message, peek, seal
from emu.planes.snp.launch import PAGE, Launch, LaunchPage, PageType, policy_fault

VMPLS = 4
_REPORT_REQUEST = struct.Struct("<64sII24s")
_KEY_SELECT_VLEK = 2
_TSC_SIZE = 128
_LAST_SEQUENCE = (1 << 64) - 2          # an answer's number is one higher


class Firmware:
    """One guest's context. `seed`: what its keys are derived from. `signature`: EAX of CPUID function 1. `read`: what
    the guest's CPUID gives. `host_data`: 32 bytes of the hypervisor's for the report."""

    def __init__(self, seed: int, signature: int, read: Read, host_data: bytes = bytes(32)) -> None:
        self._seed, self._signature, self._read, self._host_data = seed, signature, read, host_data
        self.keys = [self._secret(f"VMPCK{n}") for n in range(VMPLS)]
        self.measurement = measurement.INITIAL
        self.sequence = [0] * VMPLS     # number of the last message with each key
        self.tsc_scale = self.tsc_offset = self.tsc_factor = 0
        self._report_id = self._secret("report ID")
        self.identity = Identity()

    def _secret(self, name: str) -> bytes:
        return hashlib.sha256(f"strata snp {self._seed} {name}".encode()).digest()

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """State: what the launch and the messages so far have left."""
        return {"measurement": self.measurement, "identity": list(self.identity), "sequence": list(self.sequence),
                "tsc": [self.tsc_scale, self.tsc_offset, self.tsc_factor]}

    def load(self, state: dict[str, Any]) -> None:
        """Put a state back. The keys come from the seed."""
        self.measurement, self.identity = state["measurement"], Identity(*state["identity"])
        self.sequence = list(state["sequence"])
        self.tsc_scale, self.tsc_offset, self.tsc_factor = state["tsc"]

    # --- launch ------------------------------------------------------------------------------------------------------

    def launch(self, launch: Launch, tsc_scale: int = 1 << 32) -> list[tuple[LaunchPage, bytes]]:
        """Each page with the contents that the guest finds in it. `tsc_scale`: guest TSC / machine TSC, with 32
        fraction bits, of guests with Secure TSC. FirmwareError: the policy, the CPUID page or the ID block is refused;
        the guest must not run then."""
        fault = policy_fault(launch.policy)
        if fault is not None:
            raise FirmwareError(POLICY_FAILURE, f"guest policy {launch.policy:#x}: {fault}")
        self.measurement = measurement.launch_digest(launch.pages)
        block, ours = launch.id_block, Identity(policy=launch.policy, measurement=self.measurement)
        if block is not None:
            id_block.check(block, self.measurement, launch.policy)
            id_key, author_key = id_block.digests(block)
            ours = ours._replace(image_id=block.image_id, family_id=block.family_id, guest_svn=block.guest_svn,
                                 id_key=id_key, author_key=author_key, has_author=block.author_key_enabled)
        self.identity = ours
        self.tsc_scale, self.tsc_offset = tsc_scale, 0
        return [(page, self._contents(page)) for page in launch.pages]

    def _contents(self, page: LaunchPage) -> bytes:
        if page.type is PageType.SECRETS:
            return secrets_page.build(self.keys, self._signature, self.tsc_factor)
        if page.type is PageType.CPUID:
            return cpuid_page.contents(page.data, self._read)
        if page.type is PageType.VMSA:
            return self._with_time(page.contents)
        return bytes(PAGE) if page.type is PageType.ZERO else page.contents

    def _with_time(self, contents: bytes) -> bytes:
        """A VMSA with the guest's TSC, if it has one of its own (FWABI, SNP_LAUNCH_UPDATE)."""
        state = vmsa.Vmsa(bytearray(contents))
        if state["sev_features"] & vmsa.SECURE_TSC:
            state["guest_tsc_scale"], state["guest_tsc_offset"] = self.tsc_scale, self.tsc_offset
        return bytes(state)

    # --- messages ----------------------------------------------------------------------------------------------------

    def guest_request(self, page: bytes) -> tuple[int, bytes]:
        """SNP_GUEST_REQUEST: status, and the page of the answer (zeros unless SUCCESS)."""
        try:
            return SUCCESS, self._answer(page)
        except FirmwareError as error:
            return error.status, bytes(PAGE)

    def _answer(self, page: bytes) -> bytes:
        try:
            vmpck, sequence = peek(page)
            if vmpck >= VMPLS:
                raise MessageError(f"there is no VMPCK{vmpck}")
            if sequence > _LAST_SEQUENCE:
                raise FirmwareError(AEAD_OFLOW, "the sequence numbers are used up")
            if sequence != self.sequence[vmpck] + 1:
                raise MessageError(f"sequence number {sequence}, expected {self.sequence[vmpck] + 1}")
            message = open_message(page, self.keys[vmpck])
        except MessageError as error:
            raise FirmwareError(BAD_MEASUREMENT if error.tampered else INVALID_PARAM, str(error)) from None
        handler = _HANDLERS.get(message.type)
        if handler is None or message.version != 1:
            raise FirmwareError(INVALID_PARAM, f"message type {message.type}, version {message.version}")
        payload = handler(self, message)
        self.sequence[vmpck] = sequence + 1
        return seal(Message(message.type + 1, payload, sequence + 1, vmpck), self.keys[vmpck])

    def report(self, message: Message) -> bytes:
        """MSG_REPORT_RSP: status, size and report; a report is of the VMPL of the key or of a less privileged one."""
        if len(message.payload) != _REPORT_REQUEST.size:
            raise FirmwareError(INVALID_PARAM, "a report request has 96 bytes")
        data, vmpl, key, _ = _REPORT_REQUEST.unpack(message.payload)
        size = 0x20 + report.SIZE
        if not message.vmpck <= vmpl < VMPLS or key > _KEY_SELECT_VLEK:
            return struct.pack("<I", MESSAGE_INVALID).ljust(size, b"\0")
        if key == _KEY_SELECT_VLEK:
            return struct.pack("<I", MESSAGE_INVALID_KEY).ljust(size, b"\0")
        return struct.pack("<II24x", MESSAGE_OK, report.SIZE) + self._report(data, vmpl)

    def _report(self, data: bytes, vmpl: int) -> bytes:
        identity = self.identity
        family = (self._signature >> 8 & 0xF) + (self._signature >> 20 & 0xFF)
        versions = dict.fromkeys(("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"), tcb.TCB_VERSION)
        return report.build({
            **versions, "guest_svn": identity.guest_svn, "policy": identity.policy, "family_id": identity.family_id,
            "image_id": identity.image_id, "vmpl": vmpl, "report_data": data, "measurement": self.measurement,
            "flags": report.SIGNED_BY_VCEK | (report.AUTHOR_KEY_ENABLED if identity.has_author else 0),
            "host_data": self._host_data, "id_key_digest": identity.id_key,
            "author_key_digest": identity.author_key,
            "report_id": self._report_id, "report_id_ma": b"\xff" * 32,        # there is no migration agent
            "cpuid_fam_id": family, "cpuid_mod_id": self._signature >> 4 & 0xF | self._signature >> 12 & 0xF0,
            "cpuid_step": self._signature & 0xF, "chip_id": tcb.CHIP_ID, "current_version": tcb.FIRMWARE,
            "committed_version": tcb.FIRMWARE})

    def derived_key(self, message: Message) -> bytes:
        """MSG_KEY_RSP: status, 28 reserved bytes, the key."""
        if len(message.payload) != derived_key.REQUEST_SIZE:
            raise FirmwareError(INVALID_PARAM, "a key request has 32 bytes")
        request, identity = derived_key.Request.unpack(message.payload), self.identity
        if not derived_key.allowed(request, message.vmpck, identity.guest_svn):
            return struct.pack("<I60x", MESSAGE_INVALID)
        if request.wants_vlek:
            return struct.pack("<I60x", MESSAGE_INVALID_KEY)
        root = self._secret("VMRK" if request.root & derived_key.VMRK else "VCEK")
        return struct.pack("<I28x", MESSAGE_OK) + derived_key.derive(request, identity, root)

    def cpuid(self, message: Message) -> bytes:
        """MSG_CPUID_RSP: the table of the request as firmware would have it."""
        try:
            table = message.payload.ljust(PAGE, b"\0")
            checked = cpuid_page.corrected(table, self._read)
        except ValueError:
            return struct.pack("<I12x", MESSAGE_INVALID)
        count = len(cpuid_page.unpack(table))
        status = MESSAGE_OK if checked is None else MESSAGE_INVALID
        return struct.pack("<II8x", status, count) + (checked or table)[16:16 + 48 * count]

    def tsc_info(self, message: Message) -> bytes:
        """MSG_TSC_INFO_RSP: scale and offset of a guest with Secure TSC."""
        if len(message.payload) != _TSC_SIZE or any(message.payload):
            raise FirmwareError(INVALID_PARAM, "a TSC request has 128 bytes of zero")
        answer = struct.pack("<I4xQQI", MESSAGE_OK, self.tsc_scale, self.tsc_offset, self.tsc_factor)
        return answer.ljust(_TSC_SIZE, b"\0")


_HANDLERS: dict[int, Callable[[Firmware, Message], bytes]] = {
    MessageType.REPORT_REQUEST: Firmware.report, MessageType.KEY_REQUEST: Firmware.derived_key,
    MessageType.CPUID_REQUEST: Firmware.cpuid, MessageType.TSC_INFO_REQUEST: Firmware.tsc_info,
}
