// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Governed} from "./Governed.sol";

/// Who may verify, for which organization, and how often they did.
contract VerifierRegistry is Governed {
    event VerifierRegistered(address indexed verifier, string name, string organization, uint256 timestamp);
    event VerifierUpdated(address indexed verifier, uint256 timestamp);
    event VerifierStatusChanged(address indexed verifier, uint8 oldStatus, uint8 newStatus, uint256 timestamp);
    event VerificationRecorded(address indexed verifier, bool approved, uint256 timestamp);
    event SpecializationAdded(address indexed verifier, string specialization, uint256 timestamp);
    event SpecializationRemoved(address indexed verifier, string specialization, uint256 timestamp);

    mapping(address verifier => bool known) public registered;
    mapping(address verifier => uint8 status) public statusOf;

    modifier known(address verifier) {
        require(registered[verifier], "not a verifier");
        _;
    }

    function registerVerifier(address verifier, string calldata name, string calldata organization)
        external
        whenNotPaused
    {
        require(!registered[verifier], "verifier exists");
        registered[verifier] = true;
        statusOf[verifier] = 1;
        grantRole(VERIFIER_ROLE, verifier);
        emit VerifierRegistered(verifier, name, organization, block.timestamp);
    }

    function updateVerifier(address verifier) external known(verifier) {
        emit VerifierUpdated(verifier, block.timestamp);
    }

    function changeVerifierStatus(address verifier, uint8 status) external known(verifier) {
        require(status <= 2, "no such status");
        if (status == 1) {
            grantRole(VERIFIER_ROLE, verifier);
        } else {
            revokeRole(VERIFIER_ROLE, verifier);
        }
        emit VerifierStatusChanged(verifier, statusOf[verifier], status, block.timestamp);
        statusOf[verifier] = status;
    }

    function recordVerification(address verifier, bool approved) external known(verifier) {
        emit VerificationRecorded(verifier, approved, block.timestamp);
    }

    function addSpecialization(address verifier, string calldata specialization) external known(verifier) {
        emit SpecializationAdded(verifier, specialization, block.timestamp);
    }

    function removeSpecialization(address verifier, string calldata specialization) external known(verifier) {
        emit SpecializationRemoved(verifier, specialization, block.timestamp);
    }

    function emitMany(uint256 count) external {
        for (uint256 index = 0; index < count; index++) {
            emit VerificationRecorded(msg.sender, index % 2 == 0, block.timestamp + index);
        }
    }
}
