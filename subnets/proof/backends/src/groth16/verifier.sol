// SPDX-License-Identifier: MIT OR Apache-2.0
// Written by `tao proof export-verifier --solidity`.
pragma solidity ^0.8.19;

/// @title Verifier of the Groth16 proofs on BN254 of one circuit
/// @notice The public values are the binding, $OUTPUTS and $INPUTS, in this order.
/// Negative integers are represented by ORDER minus their magnitude.
contract ProofVerifier {
    /// Identity of the circuit.
    bytes32 public constant CIRCUIT = 0x$CIRCUIT;
    /// SHA-256 of the verification key.
    bytes32 public constant VERIFICATION_KEY = 0x$KEY;
    /// Number of public values.
    uint256 public constant VALUES = $VALUES;
    /// Modulus of the public values.
    uint256 public constant ORDER = 0x$ORDER;

    // The key: a point in G1 for the constant one and for each public value, alpha in G1, and in G2 the negatives of
    // beta, gamma and delta.
    bytes private constant POINTS =$POINTS;

    /// @notice Returns whether a proof is valid for the public values. Also false if the gas does not suffice.
    /// @param proof The points A, B and C: A.x, A.y, B.x.c1, B.x.c0, B.y.c1, B.y.c0, C.x, C.y.
    /// @param values The public values. The caller must compare them with the expected ones.
    function verify(uint256[8] calldata proof, uint256[] calldata values) external view returns (bool valid) {
        if (values.length != VALUES) return false;
        for (uint256 i = 0; i < VALUES; ++i) {
            if (values[i] >= ORDER) return false;
        }
$RANGES        // The pairing of a point at infinity is one.
        if ((proof[0] | proof[1]) == 0 || (proof[2] | proof[3] | proof[4] | proof[5]) == 0) return false;
        bytes memory points = POINTS;
        // The sum of the points of the public values, a point, and its factor.
        uint256[5] memory sum;
        uint256[24] memory pairs;
        assembly ("memory-safe") {
            function copy(to, from, words) {
                for { let end := add(from, mul(words, 32)) } lt(from, end) { from := add(from, 32) } {
                    mstore(to, mload(from))
                    to := add(to, 32)
                }
            }
            let point := add(points, 32)
            copy(sum, point, 2)
            valid := 1
            for { let i := 0 } lt(i, VALUES) { i := add(i, 1) } {
                point := add(point, 64)
                copy(add(sum, 64), point, 2)
                mstore(add(sum, 128), calldataload(add(values.offset, mul(i, 32))))
                valid := and(valid, staticcall(gas(), 7, add(sum, 64), 96, add(sum, 64), 64))
                valid := and(valid, staticcall(gas(), 6, sum, 128, sum, 64))
            }
            point := add(point, 64)
            // e(A, B) · e(alpha, -beta) · e(sum, -gamma) · e(C, -delta) must be one. The precompiled contracts reject
            // coordinates above the modulus, and points outside of the curve and the subgroup.
            calldatacopy(pairs, proof, 192)
            copy(add(pairs, 192), point, 6)
            copy(add(pairs, 384), sum, 2)
            copy(add(pairs, 448), add(point, 192), 4)
            calldatacopy(add(pairs, 576), add(proof, 192), 64)
            copy(add(pairs, 640), add(point, 320), 4)
            valid := and(valid, staticcall(gas(), 8, pairs, 768, pairs, 32))
            valid := and(valid, and(eq(returndatasize(), 32), eq(mload(pairs), 1)))
        }
    }

    /// @notice Returns the first public value of the proofs for one request. It does not show which inputs were proven:
    /// compare the inputs among the public values, or their digest, as well.
    /// @param nonce Nonce of the request. A contract must accept each nonce once only.
    /// @param miner Public key of the miner's hotkey.
    /// @param inputs All inputs of the circuit.
    function binding(bytes32 nonce, bytes32 miner, int64[] calldata inputs) external pure returns (uint256) {
        bytes memory encoded = new bytes(8 * inputs.length);
        for (uint256 i = 0; i < inputs.length; ++i) {
            uint64 input = uint64(inputs[i]);
            for (uint256 j = 0; j < 8; ++j) {
                encoded[8 * i + j] = bytes1(uint8(input >> (8 * j)));
            }
        }
        // Each part follows its length in bytes, in little-endian order.
        bytes32 digest = sha256(
            abi.encodePacked(
                hex"2500000000000000",
                "taonet proof of inference, binding, 1",
                hex"2000000000000000",
                nonce,
                hex"2000000000000000",
                miner,
                hex"2000000000000000",
                CIRCUIT,
                hex"2000000000000000",
                VERIFICATION_KEY,
                hex"2000000000000000",
                sha256(encoded)
            )
        );
        // The first 31 bytes, which are below ORDER.
        return uint256(digest) >> 8;
    }

    /// Returns whether all integers `values[first..end]` plus `offset` are from 0 to `span`.
    function inRange(uint256[] calldata values, uint256 first, uint256 end, uint256 offset, uint256 span)
        private
        pure
        returns (bool)
    {
        for (uint256 i = first; i < end; ++i) {
            if (addmod(values[i], offset, ORDER) > span) return false;
        }
        return true;
    }
}
