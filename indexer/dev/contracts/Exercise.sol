// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

/// Ways for a transaction to fail, which every sample offers.
abstract contract Exercise {
    uint256 private burnt;

    /// Reverts with the given reason.
    function refuse(string calldata reason) external pure {
        revert(reason);
    }

    /// Runs until the transaction has used all of its gas.
    function burnGas() external {
        while (true) {
            burnt = gasleft();
        }
    }
}
