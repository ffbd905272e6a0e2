"""Thinks up transactions as the users of the sample contracts would send them, failures included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from indexer.dev.deploy import GWEI, Deployed
from indexer.dev.samples import TransactionRequest

TOO_LITTLE_GAS = 30_000
BURNT_GAS = 120_000

SKILLS = (
    "Solidity",
    "Python",
    "PostgreSQL",
    "Welding",
    "Beekeeping",
    "日本語",
    "Crème brûlée",
    "Gardening 🌱",
)
COMPANIES = ("Aurora Works", "Blue Harbour", "Café Zürich", "Delta & Sons", "東京技研")
REASONS = ("not enough evidence", "link is dead", "someone else's work", "out of date")


class Traffic:
    """An endless, reproducible stream of transactions: the same seed gives the same requests.

    It remembers what it sent, not what came of it: after a reorg, or within a block, a claim may be approved
    that is not there. Such a transaction reverts, as on any chain.
    """

    def __init__(self, contracts: Mapping[str, Deployed], accounts: Sequence[str], seed: int) -> None:
        """
        Args:
            contracts: the deployed samples by name; what would call another one is not sent.
            accounts: unlocked accounts, at least two; the first owns the tokens.
        """
        self._contracts = contracts
        self._accounts = accounts
        self._random = Random(seed)
        self._newcomers = list(accounts)
        self._members: list[str] = []
        self._verifiers: list[str] = []
        self._endorsers: list[str] = []
        self._skilled: list[str] = []
        self._past: list[tuple[str, str]] = []  # whose, and the function that removes it
        self._claims = 0
        self._pending: list[int] = []
        self._rejected: list[int] = []
        kinds = [kind for kind in self._kinds() if kind[1] in contracts]
        self._weights = [weight for weight, _, _ in kinds]
        self._makers = [make for _, _, make in kinds]

    def take(self, count: int) -> list[TransactionRequest]:
        """The next so many transactions."""
        return [self._next() for _ in range(count)]

    def _next(self) -> TransactionRequest:
        request = self._random.choices(self._makers, self._weights)[0]()
        tip = self._random.randint(1 * GWEI, 4 * GWEI)
        return request | {"maxPriorityFeePerGas": hex(tip)}

    def _kinds(self) -> list[tuple[int, str, Callable[[], TransactionRequest]]]:
        """Weight, contract called, maker of the transaction."""
        return [
            (8, "SkillProfile", self._join),
            (10, "SkillProfile", self._add_skill),
            (6, "SkillProfile", self._verify_skill),
            (4, "SkillProfile", self._add_past),
            (3, "SkillProfile", self._remove),
            (12, "SkillClaim", self._claim),
            (10, "SkillClaim", self._judge),
            (4, "SkillClaim", self._update_claim),
            (8, "Endorsement", self._endorse),
            (2, "Endorsement", self._withdraw),
            (3, "Endorsement", self._refer),
            (4, "VerifierRegistry", self._register),
            (6, "VerifierRegistry", self._work),
            (22, "Token", self._transfer),
            (4, "Token", self._approve),
            (2, "Oddities", self._say_something_odd),
            (3, "SkillClaim", self._fail),
            (2, "Endorsement", self._run_out_of_gas),
        ]

    def _call(
        self, sender: str, contract: str, function: str, *arguments: object, gas: int | None = None
    ) -> TransactionRequest:
        deployed = self._contracts[contract]
        if gas is None:
            return deployed.call(sender, function, *arguments)
        return deployed.call(sender, function, *arguments, gas=gas)

    def _pick(self, choices: Sequence[str]) -> str:
        return self._random.choice(choices)

    def _member(self) -> str:
        return self._pick(self._members or self._accounts)

    def _text(self, choices: Sequence[str]) -> str:
        """One of the texts; now and then as long as the contracts allow."""
        text = self._pick(choices)
        return text * (500 // len(text.encode())) if self._random.random() < 0.02 else text

    def _join(self) -> TransactionRequest:
        if not self._newcomers:
            return self._call(self._member(), "SkillProfile", "updateProfile", "", self._random.randbytes(32))
        user = self._newcomers.pop(self._random.randrange(len(self._newcomers)))
        self._members.append(user)
        name = f"{self._pick(('Ada', 'Grace', 'Çelik', 'Noor', '葵'))} {len(self._members)}"
        if self._random.random() < 0.2:
            return self._call(user, "SkillProfile", "createOldProfile", name)
        return self._call(user, "SkillProfile", "createProfile", name, self._random.randbytes(32))

    def _add_skill(self) -> TransactionRequest:
        if not self._members:
            return self._join()
        user, level = self._member(), self._random.randint(1, 100)
        self._skilled.append(user)
        return self._call(user, "SkillProfile", "addSkill", self._text(SKILLS), level)

    def _verify_skill(self) -> TransactionRequest:
        if not self._skilled:
            return self._add_skill()
        return self._call(self._verifier(), "SkillProfile", "verifySkill", self._pick(self._skilled), 0)

    def _add_past(self) -> TransactionRequest:
        if not self._members:
            return self._join()
        user, where = self._member(), self._text(COMPANIES)
        if self._random.random() < 0.5:
            self._past.append((user, "removeExperience"))
            return self._call(user, "SkillProfile", "addExperience", where, "Engineer")
        self._past.append((user, "removeEducation"))
        return self._call(user, "SkillProfile", "addEducation", where, "MSc")

    def _remove(self) -> TransactionRequest:
        if self._past and self._random.random() < 0.7:
            user, function = self._past.pop(self._random.randrange(len(self._past)))
            return self._call(user, "SkillProfile", function, 0)
        if not self._skilled:
            return self._add_skill()
        user = self._skilled.pop(self._random.randrange(len(self._skilled)))
        return self._call(user, "SkillProfile", "removeSkill", 0)

    def _claim(self) -> TransactionRequest:
        self._claims += 1
        self._pending.append(self._claims)
        return self._call(self._member(), "SkillClaim", "createClaim", self._text(SKILLS))

    def _judge(self) -> TransactionRequest:
        if not self._pending:
            return self._claim()
        at, verifier, kind = (
            self._random.randrange(len(self._pending)),
            self._verifier(),
            self._random.random(),
        )
        if kind < 0.3:
            return self._call(self._accounts[0], "SkillClaim", "assignClaim", self._pending[at], verifier)
        claim = self._pending.pop(at)
        if kind < 0.75:
            return self._call(verifier, "SkillClaim", "approveClaim", claim)
        self._rejected.append(claim)
        return self._call(verifier, "SkillClaim", "rejectClaim", claim, self._text(REASONS))

    def _update_claim(self) -> TransactionRequest:
        if self._rejected and self._random.random() < 0.5:
            claim = self._rejected.pop()
            return self._call(self._member(), "SkillClaim", "disputeClaim", claim, self._text(REASONS))
        if not self._pending:
            return self._claim()
        evidence, claim = "Qm" + self._random.randbytes(22).hex(), self._random.choice(self._pending)
        return self._call(self._member(), "SkillClaim", "updateEvidence", claim, evidence)

    def _endorse(self) -> TransactionRequest:
        # Now and then somebody endorses themselves, which the contract refuses.
        endorser, endorsee = self._member(), self._member()
        if endorser != endorsee:
            self._endorsers.append(endorser)
        return self._call(endorser, "Endorsement", "createEndorsement", endorsee, self._text(SKILLS))

    def _withdraw(self) -> TransactionRequest:
        if not self._endorsers:
            return self._endorse()
        # Twice for the same endorsement fails the second time.
        at = self._random.randrange(len(self._endorsers))
        return self._call(self._endorsers[at], "Endorsement", "revokeEndorsement", at + 1)

    def _refer(self) -> TransactionRequest:
        return self._call(self._member(), "Endorsement", "createReference", self._pick(self._accounts))

    def _verifier(self) -> str:
        return self._pick(self._verifiers or self._accounts)

    def _register(self) -> TransactionRequest:
        account = self._pick(self._accounts)
        if account in self._verifiers:
            status = self._random.randint(0, 2)
            return self._call(self._accounts[0], "VerifierRegistry", "changeVerifierStatus", account, status)
        self._verifiers.append(account)
        name = f"Verifier {len(self._verifiers)}"
        return self._call(
            self._accounts[0], "VerifierRegistry", "registerVerifier", account, name, self._pick(COMPANIES)
        )

    def _work(self) -> TransactionRequest:
        if not self._verifiers:
            return self._register()
        verifier, kind = self._verifier(), self._random.random()
        if kind < 0.7:
            approved = self._random.random() < 0.8
            return self._call(verifier, "VerifierRegistry", "recordVerification", verifier, approved)
        if kind < 0.8:
            return self._call(verifier, "VerifierRegistry", "updateVerifier", verifier)
        change = self._pick(("addSpecialization", "removeSpecialization"))
        return self._call(verifier, "VerifierRegistry", change, verifier, self._pick(SKILLS))

    def _transfer(self) -> TransactionRequest:
        owner = self._accounts[0] if self._random.random() < 0.9 else self._pick(self._accounts)
        value = self._random.randint(1, 10**20)
        return self._call(owner, "Token", "transfer", self._pick(self._accounts), value)

    def _approve(self) -> TransactionRequest:
        value = self._random.choice((0, 2**256 - 1, self._random.randint(1, 10**20)))
        return self._call(self._member(), "Token", "approve", self._pick(self._accounts), value)

    def _say_something_odd(self) -> TransactionRequest:
        kind, who = self._random.random(), self._pick(self._accounts)
        if kind < 0.4:
            return self._call(who, "Oddities", "say", b"not \xff UTF-8, and a \x00")
        if kind < 0.7:
            return self._call(who, "Oddities", "nested", "a group", self._random.randint(0, 3))
        return self._call(
            who, "Oddities", "silent", self._random.randint(0, 10**30), "no topic tells my type"
        )

    def _fail(self) -> TransactionRequest:
        return self._call(self._member(), "SkillClaim", "refuse", self._pick(REASONS))

    def _run_out_of_gas(self) -> TransactionRequest:
        if self._random.random() < 0.5:
            return self._call(self._member(), "Endorsement", "burnGas", gas=BURNT_GAS)
        receiver = self._pick(self._accounts)
        return self._call(self._member(), "Endorsement", "createReference", receiver, gas=TOO_LITTLE_GAS)
