// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Exercise} from "./Exercise.sol";

/// Events that are hard to index, and logs that are not events at all.
contract Oddities is Exercise {
    struct Entry {
        address who;
        uint256 amount;
        string note;
        uint8[2] pair;
    }

    struct Group {
        string title;
        Entry[] entries;
        int256[][] numbers;
    }

    /// Indexed values of dynamic types: the topics hold their hashes.
    event Hashed(string indexed label, bytes indexed blob, uint256[] indexed numbers, string text);
    event HashedEntry(Entry indexed entry, uint8[2] indexed pair, bool flag);
    event Listed(uint256 indexed id, Entry[] entries);
    event Nested(Group group, bytes4 selector);
    /// Has no topic that tells its type.
    event Silent(uint256 indexed id, address who, string text) anonymous;
    event Text(string text);
    event Text(string text, uint256 again);
    event Bytes(bytes raw);
    event Nothing();
    event OnlyTopics(bytes32 indexed first, int256 indexed second, bool indexed third);
    event Numbers(int8 tiny, int64 medium, uint64 unsigned, int256 low, uint256 high, bytes1 short, bytes32 long);
    event Unnamed(uint256 indexed, uint256, string);
    /// Names that are taken: of the columns every table has, of SQL words, and of each other.
    event Select(address address_, uint256 block_number, uint256 blockNumber, uint256 log_index, string order);

    function hashed(string calldata label, bytes calldata blob, uint256[] calldata numbers, string calldata text)
        external
    {
        emit Hashed(label, blob, numbers, text);
    }

    function hashedEntry(string calldata note) external {
        emit HashedEntry(Entry(msg.sender, 1, note, [2, 3]), [4, 5], true);
    }

    function listed(uint256 id, uint256 count) external {
        emit Listed(id, entries(count));
    }

    function nested(string calldata title, uint256 count) external {
        int256[][] memory numbers = new int256[][](count);
        for (uint256 index = 0; index < count; index++) {
            numbers[index] = new int256[](index);
            for (uint256 inner = 0; inner < index; inner++) {
                numbers[index][inner] = type(int256).min + int256(inner);
            }
        }
        emit Nested(Group(title, entries(count), numbers), this.nested.selector);
    }

    function silent(uint256 id, string calldata text) external {
        emit Silent(id, msg.sender, text);
    }

    /// Says any bytes at all as text, valid UTF-8 or not.
    function say(bytes calldata text) external {
        emit Text(string(text));
    }

    function sayAgain(bytes calldata text, uint256 again) external {
        emit Text(string(text), again);
    }

    function give(bytes calldata raw) external {
        emit Bytes(raw);
    }

    function nothing() external {
        emit Nothing();
    }

    function onlyTopics(bytes32 first, int256 second, bool third) external {
        emit OnlyTopics(first, second, third);
    }

    function extremes() external {
        emit Numbers(
            type(int8).min,
            type(int64).min,
            type(uint64).max,
            type(int256).min,
            type(uint256).max,
            0xff,
            bytes32(uint256(1))
        );
    }

    function unnamed(uint256 first, uint256 second, string calldata third) external {
        emit Unnamed(first, second, third);
    }

    function taken(string calldata order) external {
        emit Select(msg.sender, 1, 2, 3, order);
    }

    /// A log of any topics (at most four) and any data, whether or not they make sense.
    function log(bytes32[] calldata topics, bytes calldata data) external {
        require(topics.length <= 4, "more than four topics");
        bytes32[4] memory padded;
        for (uint256 index = 0; index < topics.length; index++) {
            padded[index] = topics[index];
        }
        bytes memory copy = data;
        uint256 count = topics.length;
        assembly ("memory-safe") {
            let start := add(copy, 32)
            let size := mload(copy)
            let a := mload(padded)
            let b := mload(add(padded, 32))
            let c := mload(add(padded, 64))
            let d := mload(add(padded, 96))
            switch count
            case 0 { log0(start, size) }
            case 1 { log1(start, size, a) }
            case 2 { log2(start, size, a, b) }
            case 3 { log3(start, size, a, b, c) }
            default { log4(start, size, a, b, c, d) }
        }
    }

    function emitMany(uint256 count) external {
        for (uint256 index = 0; index < count; index++) {
            emit Listed(index, entries(index % 4));
        }
    }

    function entries(uint256 count) private view returns (Entry[] memory made) {
        made = new Entry[](count);
        for (uint256 index = 0; index < count; index++) {
            made[index] = Entry(msg.sender, type(uint256).max - index, "a note", [uint8(index), 255]);
        }
    }
}
