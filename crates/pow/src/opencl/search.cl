// Search for nonces: keccak256(sha256(prefix | nonce)), as a little-endian number of 256 bits, times the difficulty must
// not overflow. The prefix has 123 bytes, so that the message of SHA-256 has three blocks, and the nonce begins in the
// last five bytes of the second one.

__constant uint SHA_START[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

__constant uint SHA_ROUNDS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

__constant ulong KECCAK_ROUNDS[24] = {
    0x0000000000000001UL, 0x0000000000008082UL, 0x800000000000808aUL, 0x8000000080008000UL, 0x000000000000808bUL,
    0x0000000080000001UL, 0x8000000080008081UL, 0x8000000000008009UL, 0x000000000000008aUL, 0x0000000000000088UL,
    0x0000000080008009UL, 0x000000008000000aUL, 0x000000008000808bUL, 0x800000000000008bUL, 0x8000000000008089UL,
    0x8000000000008003UL, 0x8000000000008002UL, 0x8000000000000080UL, 0x000000000000800aUL, 0x800000008000000aUL,
    0x8000000080008081UL, 0x8000000000008080UL, 0x0000000080000001UL, 0x8000000080008008UL,
};

uint swap(uint x) {
    return as_uint(as_uchar4(x).wzyx);
}

uint right(uint x, uint bits) {
    return rotate(x, 32 - bits);
}

// One block of SHA-256. Overwrites the block's words.
void sha256(uint *state, uint *words) {
    uint a = state[0], b = state[1], c = state[2], d = state[3];
    uint e = state[4], f = state[5], g = state[6], h = state[7];
    for (uint first = 0; first < 64; first += 16) {
        #pragma unroll
        for (uint i = 0; i < 16; i++) {
            if (first > 0) {
                uint before = words[(i + 1) & 15], recent = words[(i + 14) & 15];
                words[i] += (right(before, 7) ^ right(before, 18) ^ (before >> 3)) + words[(i + 9) & 15]
                    + (right(recent, 17) ^ right(recent, 19) ^ (recent >> 10));
            }
            uint sum = h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + bitselect(g, f, e)
                + SHA_ROUNDS[first + i] + words[i];
            h = g;
            g = f;
            f = e;
            e = d + sum;
            d = c;
            // The majority of `a`, `b` and the previous `c`, which is now `d`.
            sum += (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + bitselect(a, b, a ^ d);
            c = b;
            b = a;
            a = sum;
        }
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

#define MOVE(place, bits) \
    next = a[place]; \
    a[place] = rotate(moved, (ulong)(bits)); \
    moved = next;

// The permutation Keccak-f[1600].
void keccak(ulong *a) {
    for (uint round = 0; round < 24; round++) {
        ulong columns[5], moved, next;
        #pragma unroll
        for (uint x = 0; x < 5; x++) {
            columns[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        }
        #pragma unroll
        for (uint x = 0; x < 5; x++) {
            ulong change = columns[(x + 4) % 5] ^ rotate(columns[(x + 1) % 5], (ulong)1);
            a[x] ^= change;
            a[x + 5] ^= change;
            a[x + 10] ^= change;
            a[x + 15] ^= change;
            a[x + 20] ^= change;
        }
        moved = a[1];
        MOVE(10, 1) MOVE(7, 3) MOVE(11, 6) MOVE(17, 10) MOVE(18, 15) MOVE(3, 21) MOVE(5, 28) MOVE(16, 36)
        MOVE(8, 45) MOVE(21, 55) MOVE(24, 2) MOVE(4, 14) MOVE(15, 27) MOVE(23, 41) MOVE(19, 56) MOVE(13, 8)
        MOVE(12, 25) MOVE(2, 43) MOVE(20, 62) MOVE(14, 18) MOVE(22, 39) MOVE(9, 61) MOVE(6, 20) MOVE(1, 44)
        #pragma unroll
        for (uint y = 0; y < 25; y += 5) {
            ulong first = a[y], second = a[y + 1];
            a[y] ^= ~second & a[y + 2];
            a[y + 1] ^= ~a[y + 2] & a[y + 3];
            a[y + 2] ^= ~a[y + 3] & a[y + 4];
            a[y + 3] ^= ~a[y + 4] & first;
            a[y + 4] ^= ~first & second;
        }
        a[0] ^= KECCAK_ROUNDS[round];
    }
}

// Writes the state of SHA-256 after the prefix's first block to input[0..8]. input[8..39] are the words of the prefix, the
// last of them with a zero byte.
__kernel void prepare(__global uint *input) {
    uint state[8], words[16];
    for (uint i = 0; i < 8; i++) {
        state[i] = SHA_START[i];
    }
    for (uint i = 0; i < 16; i++) {
        words[i] = input[8 + i];
    }
    sha256(state, words);
    for (uint i = 0; i < 8; i++) {
        input[i] = state[i];
    }
}

// Tries the nonce `start` plus the work item's number, and lowers `first_solution` to that number if the nonce meets the difficulty.
__kernel void search(__global const uint *input, ulong start, ulong difficulty, volatile __global uint *first_solution) {
    uint item = get_global_id(0);
    ulong nonce = start + item;
    uint state[8], words[16];
    #pragma unroll
    for (uint i = 0; i < 8; i++) {
        state[i] = input[i];
    }
    #pragma unroll
    for (uint i = 0; i < 15; i++) {
        words[i] = input[24 + i];
    }
    words[14] |= (uint)(nonce & 0xff);
    words[15] = swap((uint)(nonce >> 8));
    sha256(state, words);
    // Three bytes of the nonce, the padding, and the length of 131 bytes.
    words[0] = swap((uint)(nonce >> 40)) | 0x80;
    #pragma unroll
    for (uint i = 1; i < 15; i++) {
        words[i] = 0;
    }
    words[15] = 131 * 8;
    sha256(state, words);

    ulong lanes[25];
    #pragma unroll
    for (uint i = 0; i < 4; i++) {
        lanes[i] = (ulong)swap(state[2 * i]) | (ulong)swap(state[2 * i + 1]) << 32;
    }
    #pragma unroll
    for (uint i = 4; i < 25; i++) {
        lanes[i] = 0;
    }
    lanes[4] = 1;
    lanes[16] = 0x8000000000000000UL;
    keccak(lanes);

    ulong carry = 0;
    #pragma unroll
    for (uint i = 0; i < 4; i++) {
        ulong low = lanes[i] * difficulty + carry;
        carry = mul_hi(lanes[i], difficulty) + (low < carry ? 1 : 0);
    }
    if (carry == 0) {
        atomic_min(first_solution, item);
    }
}
