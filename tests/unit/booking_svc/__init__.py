import pytest

# Their assertions are to explain themselves as those of test_*.py do.
for contract in ("holds_contract", "bookings_contract", "terms_contract"):
    pytest.register_assert_rewrite(f"{__name__}.{contract}")
