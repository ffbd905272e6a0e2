// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Exercise} from "./Exercise.sol";

/// Roles and a pause switch with the events of the usual access control; a sample lets anybody hold any role.
abstract contract Governed is Exercise {
    bytes32 public constant DEFAULT_ADMIN_ROLE = 0;
    bytes32 public constant ADMIN_ROLE = keccak256("ADMIN_ROLE");
    bytes32 public constant VERIFIER_ROLE = keccak256("VERIFIER_ROLE");

    event RoleGranted(bytes32 indexed role, address indexed account, address indexed sender);
    event RoleRevoked(bytes32 indexed role, address indexed account, address indexed sender);
    event Paused(address account);
    event Unpaused(address account);

    bool public paused;
    mapping(bytes32 role => mapping(address account => bool held)) public hasRole;

    modifier whenNotPaused() {
        require(!paused, "paused");
        _;
    }

    constructor() {
        grantRole(DEFAULT_ADMIN_ROLE, msg.sender);
        grantRole(ADMIN_ROLE, msg.sender);
    }

    function grantRole(bytes32 role, address account) public {
        if (!hasRole[role][account]) {
            hasRole[role][account] = true;
            emit RoleGranted(role, account, msg.sender);
        }
    }

    function revokeRole(bytes32 role, address account) public {
        if (hasRole[role][account]) {
            hasRole[role][account] = false;
            emit RoleRevoked(role, account, msg.sender);
        }
    }

    function pause() external whenNotPaused {
        paused = true;
        emit Paused(msg.sender);
    }

    function unpause() external {
        require(paused, "not paused");
        paused = false;
        emit Unpaused(msg.sender);
    }
}
