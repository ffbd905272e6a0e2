// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Governed} from "./Governed.sol";

/// Claims to a skill, which a verifier approves or rejects.
contract SkillClaim is Governed {
    event ClaimCreated(uint256 indexed claimId, address indexed claimant, string skillName, uint256 timestamp);
    event ClaimAssigned(uint256 indexed claimId, address indexed verifier, uint256 timestamp);
    event ClaimApproved(uint256 indexed claimId, address indexed verifier, uint256 timestamp);
    event ClaimRejected(uint256 indexed claimId, address indexed verifier, string reason, uint256 timestamp);
    event ClaimDisputed(uint256 indexed claimId, address indexed claimant, string reason, uint256 timestamp);
    event EvidenceUpdated(uint256 indexed claimId, string newEvidenceIpfsHash, uint256 timestamp);

    enum Status {
        None,
        Pending,
        Approved,
        Rejected,
        Disputed
    }

    uint256 public claimCount;
    mapping(uint256 claimId => Status status) public statusOf;

    modifier only(uint256 claimId, Status status) {
        require(statusOf[claimId] != Status.None, "no such claim");
        require(statusOf[claimId] == status, "claim in another state");
        _;
    }

    function createClaim(string calldata skillName) external whenNotPaused returns (uint256 claimId) {
        claimId = ++claimCount;
        statusOf[claimId] = Status.Pending;
        emit ClaimCreated(claimId, msg.sender, skillName, block.timestamp);
    }

    function assignClaim(uint256 claimId, address verifier) external only(claimId, Status.Pending) {
        emit ClaimAssigned(claimId, verifier, block.timestamp);
    }

    function updateEvidence(uint256 claimId, string calldata ipfsHash) external only(claimId, Status.Pending) {
        emit EvidenceUpdated(claimId, ipfsHash, block.timestamp);
    }

    function approveClaim(uint256 claimId) external only(claimId, Status.Pending) {
        statusOf[claimId] = Status.Approved;
        emit ClaimApproved(claimId, msg.sender, block.timestamp);
    }

    function rejectClaim(uint256 claimId, string calldata reason) external only(claimId, Status.Pending) {
        statusOf[claimId] = Status.Rejected;
        emit ClaimRejected(claimId, msg.sender, reason, block.timestamp);
    }

    function disputeClaim(uint256 claimId, string calldata reason) external only(claimId, Status.Rejected) {
        statusOf[claimId] = Status.Disputed;
        emit ClaimDisputed(claimId, msg.sender, reason, block.timestamp);
    }

    function emitMany(uint256 count) external {
        for (uint256 index = 0; index < count; index++) {
            emit ClaimCreated(type(uint256).max - index, msg.sender, "one of many", block.timestamp);
        }
    }
}
