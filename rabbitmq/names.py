"""The names that every process shares with the broker."""

RPC_EXCHANGE = "nameko-rpc"
DEAD_LETTERS = "dead-letters"
