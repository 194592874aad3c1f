"""A policy player whose positions wait for others for as long as any can come, however slow the machine is."""

from __future__ import annotations

from pokeladder.metamon.policy_player import PolicyPlayer


class PatientPolicyPlayer(PolicyPlayer):
    batch_seconds = 3600.0
