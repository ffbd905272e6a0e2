// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Governed} from "./Governed.sol";

/// People vouching for each other.
contract Endorsement is Governed {
    event EndorsementCreated(
        uint256 indexed endorsementId,
        address indexed endorser,
        address indexed endorsee,
        string skillName,
        uint256 timestamp
    );
    event EndorsementRevoked(uint256 indexed endorsementId, address indexed endorser, uint256 timestamp);
    event ReferenceCreated(
        uint256 indexed referenceId,
        address indexed referrer,
        address indexed referee,
        uint256 timestamp
    );
    event ReferenceRevoked(uint256 indexed referenceId, address indexed referrer, uint256 timestamp);

    uint256 public endorsementCount;
    uint256 public referenceCount;
    mapping(uint256 endorsementId => address endorser) public endorserOf;
    mapping(uint256 referenceId => address referrer) public referrerOf;

    function createEndorsement(address endorsee, string calldata skillName) external whenNotPaused {
        require(endorsee != msg.sender, "cannot endorse oneself");
        uint256 id = ++endorsementCount;
        endorserOf[id] = msg.sender;
        emit EndorsementCreated(id, msg.sender, endorsee, skillName, block.timestamp);
    }

    function revokeEndorsement(uint256 id) external {
        require(endorserOf[id] == msg.sender, "not the endorser");
        delete endorserOf[id];
        emit EndorsementRevoked(id, msg.sender, block.timestamp);
    }

    function createReference(address referee) external whenNotPaused {
        require(referee != msg.sender, "cannot refer oneself");
        uint256 id = ++referenceCount;
        referrerOf[id] = msg.sender;
        emit ReferenceCreated(id, msg.sender, referee, block.timestamp);
    }

    function revokeReference(uint256 id) external {
        require(referrerOf[id] == msg.sender, "not the referrer");
        delete referrerOf[id];
        emit ReferenceRevoked(id, msg.sender, block.timestamp);
    }

    function emitMany(uint256 count) external {
        for (uint256 index = 0; index < count; index++) {
            emit EndorsementCreated(index, msg.sender, address(uint160(index + 1)), "one of many", block.timestamp);
        }
    }
}
