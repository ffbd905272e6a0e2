// SPDX-License-Identifier: MIT
pragma solidity ^0.8.29;

import {Governed} from "./Governed.sol";

/// A person's profile: one token each, with skills, experience and education.
contract SkillProfile is Governed {
    event ProfileCreated(address indexed user, string name, uint256 timestamp);
    event ProfileCreated(address indexed user, string name, uint256 timestamp, uint256 tokenId);
    event ProfileUpdated(address indexed user, uint256 timestamp);
    event SkillAdded(address indexed user, string skillName, uint8 proficiencyLevel, uint256 timestamp);
    event SkillVerified(address indexed user, uint256 skillIndex, address indexed verifier, uint256 timestamp);
    event ExperienceAdded(address indexed user, string company, string position, uint256 timestamp);
    event EducationAdded(address indexed user, string institution, string degree, uint256 timestamp);
    event SkillRemoved(address indexed user, uint256 skillIndex, uint256 timestamp);
    event ExperienceRemoved(address indexed user, uint256 experienceIndex, uint256 timestamp);
    event EducationRemoved(address indexed user, uint256 educationIndex, uint256 timestamp);
    event TierUpdated(address indexed user, uint8 oldTier, uint8 newTier, uint256 verifiedSkillCount, uint256 timestamp);
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event Approval(address indexed owner, address indexed approved, uint256 indexed tokenId);
    event ApprovalForAll(address indexed owner, address indexed operator, bool approved);
    event MetadataUpdate(uint256 _tokenId);

    struct Profile {
        uint256 tokenId;
        uint256 skills;
        uint256 experiences;
        uint256 educations;
        uint256 verified;
        uint8 tier;
    }

    uint256 public profileCount;
    mapping(address user => Profile profile) public profileOf;

    modifier withProfile() {
        require(profileOf[msg.sender].tokenId != 0, "no profile");
        _;
    }

    function createProfile(string calldata name, bytes32) external whenNotPaused {
        uint256 tokenId = issue();
        emit ProfileCreated(msg.sender, name, block.timestamp, tokenId);
    }

    /// Announces the profile in the older form of the event, which had no token id.
    function createOldProfile(string calldata name) external whenNotPaused {
        issue();
        emit ProfileCreated(msg.sender, name, block.timestamp);
    }

    function updateProfile(string calldata, bytes32) external withProfile {
        emit ProfileUpdated(msg.sender, block.timestamp);
    }

    function addSkill(string calldata skillName, uint8 level) external withProfile {
        require(level <= 100, "level above 100");
        profileOf[msg.sender].skills++;
        emit SkillAdded(msg.sender, skillName, level, block.timestamp);
    }

    function removeSkill(uint256 index) external withProfile {
        require(index < profileOf[msg.sender].skills, "no such skill");
        profileOf[msg.sender].skills--;
        emit SkillRemoved(msg.sender, index, block.timestamp);
    }

    function verifySkill(address user, uint256 index) external whenNotPaused {
        Profile storage profile = profileOf[user];
        require(index < profile.skills, "no such skill");
        profile.verified++;
        emit SkillVerified(user, index, msg.sender, block.timestamp);
        uint8 tier = profile.verified >= 10 ? 2 : profile.verified >= 3 ? 1 : 0;
        if (tier != profile.tier) {
            emit MetadataUpdate(profile.tokenId);
            emit TierUpdated(user, profile.tier, tier, profile.verified, block.timestamp);
            profile.tier = tier;
        }
    }

    function addExperience(string calldata company, string calldata position) external withProfile {
        profileOf[msg.sender].experiences++;
        emit ExperienceAdded(msg.sender, company, position, block.timestamp);
    }

    function removeExperience(uint256 index) external withProfile {
        require(index < profileOf[msg.sender].experiences, "no such experience");
        profileOf[msg.sender].experiences--;
        emit ExperienceRemoved(msg.sender, index, block.timestamp);
    }

    function addEducation(string calldata institution, string calldata degree) external withProfile {
        profileOf[msg.sender].educations++;
        emit EducationAdded(msg.sender, institution, degree, block.timestamp);
    }

    function removeEducation(uint256 index) external withProfile {
        require(index < profileOf[msg.sender].educations, "no such education");
        profileOf[msg.sender].educations--;
        emit EducationRemoved(msg.sender, index, block.timestamp);
    }

    function approve(address approved, uint256 tokenId) external withProfile {
        require(profileOf[msg.sender].tokenId == tokenId, "not the owner");
        emit Approval(msg.sender, approved, tokenId);
    }

    function setApprovalForAll(address operator, bool approved) external {
        emit ApprovalForAll(msg.sender, operator, approved);
    }

    function emitMany(uint256 count) external {
        for (uint256 index = 0; index < count; index++) {
            emit SkillAdded(msg.sender, "one of many", uint8(index % 101), block.timestamp + index);
        }
    }

    function issue() private returns (uint256 tokenId) {
        require(profileOf[msg.sender].tokenId == 0, "profile exists");
        tokenId = ++profileCount;
        profileOf[msg.sender].tokenId = tokenId;
        emit Transfer(address(0), msg.sender, tokenId);
        emit MetadataUpdate(tokenId);
    }
}
