// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Exercise} from "./Exercise.sol";

/// A plain ERC-20 token, all of it minted to the deployer.
contract Token is Exercise {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    string public constant name = "Sample";
    string public constant symbol = "SMPL";
    uint8 public constant decimals = 18;
    uint256 public constant totalSupply = 100_000_000 ether;

    mapping(address owner => uint256 amount) public balanceOf;
    mapping(address owner => mapping(address spender => uint256 amount)) public allowance;

    constructor() {
        balanceOf[msg.sender] = totalSupply;
        emit Transfer(address(0), msg.sender, totalSupply);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        require(allowance[from][msg.sender] >= value, "allowance too small");
        allowance[from][msg.sender] -= value;
        move(from, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    /// Transfers that move nothing, each to another recipient and of another value.
    function emitMany(uint256 count) external {
        for (uint256 index = 0; index < count; index++) {
            emit Transfer(msg.sender, address(uint160(index + 1)), index * 1 gwei);
        }
    }

    function move(address from, address to, uint256 value) private {
        require(balanceOf[from] >= value, "balance too small");
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}
