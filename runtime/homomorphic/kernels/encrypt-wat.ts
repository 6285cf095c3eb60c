/*
 * The text of the encryption kernels: everything that SEAL's symmetric, seeded encryption of a batch does for one prime,
 * with residues below 2^57. Generated, because BLAKE2b's rounds are one permutation written out twelve times.
 *
 * Everything that touches a secret is free of branches and of divisions on it. Products use Shoup's precomputed
 * quotients (floor(w * 2^64 / q)); the upper half of the quotient product leaves out carries, so a product lies in
 * [0, 5q) instead of [0, 2q), and nothing is reduced until the end: 8q for each of at most 13 layers stays below 2^64.
 */

const IV = [
  '0x6a09e667f3bcc908',
  '0xbb67ae8584caa73b',
  '0x3c6ef372fe94f82b',
  '0xa54ff53a5f1d36f1',
  '0x510e527fade682d1',
  '0x9b05688c2b3e6c1f',
  '0x1f83d9abfb41bd6b',
  '0x5be0cd19137e2179',
] as const;

const SIGMA = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
] as const;

const MIXES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** Both lanes rotated right by whole bytes. */
function rotated(bytes: number, value: string): string {
  const lane = Array.from({ length: 8 }, (_, i) => (i + bytes) % 8);
  return `(i8x16.shuffle ${[...lane, ...lane.map((i) => i + 8)].join(' ')} ${value} ${value})`;
}

function mix([a, b, c, d]: readonly [number, number, number, number], x: number, y: number): string {
  const v = (i: number): string => `(local.get $v${i})`;
  const set = (i: number, value: string): string => `(local.set $v${i} ${value})`;
  const add = (left: string, right: string): string => `(i64x2.add ${left} ${right})`;
  const word = (i: number): string => `(v128.load offset=${16 * i} (local.get $m))`;
  const turned = (to: number, by: number, bytes: number): string =>
    `(local.set $x (v128.xor ${v(to)} ${v(by)})) ${set(to, rotated(bytes, '(local.get $x)'))}`;
  return [
    set(a, add(add(v(a), v(b)), word(x))),
    turned(d, a, 4),
    set(c, add(v(c), v(d))),
    turned(b, c, 3),
    set(a, add(add(v(a), v(b)), word(y))),
    turned(d, a, 2),
    set(c, add(v(c), v(d))),
    `(local.set $x (v128.xor ${v(b)} ${v(c)}))`,
    set(b, '(v128.or (i64x2.add (local.get $x) (local.get $x)) (i64x2.shr_u (local.get $x) (i32.const 63)))'),
  ].join('\n    ');
}

/** BLAKE2b's compression (RFC 7693) of two independent states side by side: eight state and sixteen message words. */
function compress(): string {
  const eight = Array.from({ length: 8 }, (_, i) => i);
  const start = [
    ...eight.map((i) => `(local.set $v${i} (v128.load offset=${16 * i} (local.get $h)))`),
    ...eight.map((i) => `(local.set $v${i + 8} (i64x2.splat (i64.const ${IV[i] ?? ''})))`),
    '(local.set $v12 (v128.xor (local.get $v12) (i64x2.splat (local.get $t))))',
    '(local.set $v14 (v128.xor (local.get $v14) (i64x2.splat (local.get $last))))',
  ];
  const rounds = Array.from({ length: 12 }, (_, round) => {
    const order = SIGMA[round % 10] ?? SIGMA[0];
    return MIXES.map((cells, i) => mix(cells, order[2 * i] ?? 0, order[2 * i + 1] ?? 0)).join('\n    ');
  });
  const end = eight.map(
    (i) =>
      `(v128.store offset=${16 * i} (local.get $h) (v128.xor (v128.load offset=${16 * i} (local.get $h)) (v128.xor (local.get $v${i}) (local.get $v${i + 8}))))`,
  );
  const locals = Array.from({ length: 16 }, (_, i) => `(local $v${i} v128)`).join(' ');
  return `(func $compress (param $h i32) (param $m i32) (param $t i64) (param $last i64) (local $x v128) ${locals}
    ${[...start, ...rounds, ...end].join('\n    ')})`;
}

/** State words as both lanes start with them, the first three changed by their parameters. */
function startState(words: readonly [string, string, string]): string {
  return IV.map((iv, i) => {
    const start = `(i64x2.splat (i64.const ${iv}))`;
    const value = words[i] === undefined ? start : `(v128.xor ${start} ${words[i]})`;
    return `(v128.store offset=${16 * i} (local.get $h) ${value})`;
  }).join('\n      ');
}

/**
 * One 4096-byte buffer of SEAL's generator: BLAKE2xb keyed with the seed, over a counter of eight bytes. The root hash
 * takes two compressions; the 64 output nodes differ in their number alone and are made in pairs.
 */
function expand(): string {
  const splat = (value: string): string => `(i64x2.splat (i64.const ${value}))`;
  const key = Array.from(
    { length: 8 },
    (_, i) => `(v128.store offset=${16 * i} (local.get $m) (v128.load64_splat offset=${8 * i} (local.get $seed)))`,
  );
  const blank = (from: number): readonly string[] =>
    Array.from({ length: 16 - from }, (_, i) => `(v128.store offset=${16 * (from + i)} (local.get $m) ${splat('0')})`);
  const root = Array.from(
    { length: 8 },
    (_, i) => `(v128.store offset=${16 * i} (local.get $m) (i64x2.splat (i64.load offset=${16 * i} (local.get $h))))`,
  );
  const out = Array.from(
    { length: 8 },
    (_, j) => `(local.set $x (v128.load offset=${16 * j} (local.get $h)))
      (i64.store offset=${8 * j} (local.get $out) (i64x2.extract_lane 0 (local.get $x)))
      (i64.store offset=${64 + 8 * j} (local.get $out) (i64x2.extract_lane 1 (local.get $x)))`,
  );
  const length = 'i64.const 0x100000000000'; // 4096 in the upper half of the second parameter word
  return `(func (export "expand") (param $out i32) (param $seed i32) (param $counter i64) (param $scratch i32)
    (local $h i32) (local $m i32) (local $node i64) (local $x v128)
    (local.set $h (local.get $scratch))
    (local.set $m (i32.add (local.get $scratch) (i32.const 128)))
      ${startState([splat('0x01014040'), `(i64x2.splat (${length}))`, splat('0')])}
      ${[...key, ...blank(8)].join('\n      ')}
    (call $compress (local.get $h) (local.get $m) (i64.const 128) (i64.const 0))
      ${blank(0).join('\n      ')}
    (v128.store (local.get $m) (i64x2.splat (local.get $counter)))
    (call $compress (local.get $h) (local.get $m) (i64.const 136) (i64.const -1))
      ${[...root, ...blank(8)].join('\n      ')}
    (loop $pairs
      ${startState([splat('0x4000000040'), `(i64x2.replace_lane 1 (i64x2.splat (i64.or (${length}) (local.get $node))) (i64.add (i64.or (${length}) (local.get $node)) (i64.const 1)))`, splat('0x4000')])}
      (call $compress (local.get $h) (local.get $m) (i64.const 64) (i64.const -1))
      ${out.join('\n      ')}
      (local.set $out (i32.add (local.get $out) (i32.const 128)))
      (local.set $node (i64.add (local.get $node) (i64.const 2)))
      (br_if $pairs (i64.lt_u (local.get $node) (i64.const 64)))))`;
}

const LOW = '(i64.const 0xffffffff)';
const load = (at: string): string => `(i64.load (local.get ${at}))`;

/** Sets `$r` to `$x` times `$w` modulo q, in [0, 5q); `$s` is the quotient of `$w`. */
const PRODUCT = `(local.set $xh (i64.shr_u (local.get $x) (i64.const 32)))
        (local.set $sh (i64.shr_u (local.get $s) (i64.const 32)))
        (local.set $r (i64.sub (i64.mul (local.get $x) (local.get $w)) (i64.mul (local.get $q)
          (i64.add (i64.mul (local.get $xh) (local.get $sh)) (i64.add
            (i64.shr_u (i64.mul (local.get $xh) (i64.and (local.get $s) ${LOW})) (i64.const 32))
            (i64.shr_u (i64.mul (i64.and (local.get $x) ${LOW}) (local.get $sh)) (i64.const 32)))))))`;
const PRODUCT_LOCALS = '(local $x i64) (local $w i64) (local $s i64) (local $xh i64) (local $sh i64) (local $r i64)';

/** `$r` in [0, 8q) to [0, q). */
const REDUCE = [4, 2, 1]
  .map((k) => {
    const multiple = `(i64.mul (local.get $q) (i64.const ${k}))`;
    return `(local.set $r (select (i64.sub (local.get $r) ${multiple}) (local.get $r) (i64.ge_u (local.get $r) ${multiple})))`;
  })
  .join('\n        ');

/** Butterflies over all layers; `tables` holds pairs of a root and its quotient. */
function transform(kind: 'forward' | 'inverse'): string {
  const isForward = kind === 'forward';
  const butterfly = isForward
    ? `(local.set $u ${load('$j')})
        (local.set $x (i64.load (i32.add (local.get $j) (local.get $step))))
        ${PRODUCT}
        (i64.store (local.get $j) (i64.add (local.get $u) (local.get $r)))
        (i64.store (i32.add (local.get $j) (local.get $step)) (i64.add (i64.sub (local.get $u) (local.get $r)) (local.get $plus)))`
    : `(local.set $u ${load('$j')})
        (local.set $r (i64.load (i32.add (local.get $j) (local.get $step))))
        (local.set $x (i64.add (i64.sub (local.get $u) (local.get $r)) (local.get $plus)))
        (i64.store (local.get $j) (i64.add (local.get $u) (local.get $r)))
        ${PRODUCT}
        (i64.store (i32.add (local.get $j) (local.get $step)) (local.get $r))`;
  // sums of the inverse double in each layer, so what keeps a difference positive doubles too
  const next = isForward
    ? `(local.set $m (i32.shl (local.get $m) (i32.const 1)))
      (local.set $step (i32.shr_u (local.get $step) (i32.const 1)))
      (br_if $layers (i32.lt_u (local.get $m) (local.get $n)))`
    : `(local.set $m (i32.shr_u (local.get $m) (i32.const 1)))
      (local.set $step (i32.shl (local.get $step) (i32.const 1)))
      (local.set $plus (i64.shl (local.get $plus) (i64.const 1)))
      (br_if $layers (i32.ge_u (local.get $m) (i32.const 1)))`;
  return `(func (export "${kind}") (param $a i32) (param $n i32) (param $tables i32) (param $q i64)
    (local $m i32) (local $step i32) (local $i i32) (local $j i32) (local $end i32) (local $table i32) (local $plus i64) (local $u i64) ${PRODUCT_LOCALS}
    (local.set $plus (i64.shl (local.get $q) (i64.const 3)))
    (local.set $m ${isForward ? '(i32.const 1)' : '(i32.shr_u (local.get $n) (i32.const 1))'})
    (local.set $step ${isForward ? '(i32.shl (local.get $n) (i32.const 2))' : '(i32.const 8)'})
    (loop $layers
      (local.set $table (i32.add (local.get $tables) (i32.shl (local.get $m) (i32.const 4))))
      (local.set $i (i32.const 0))
      (local.set $j (local.get $a))
      (loop $groups
        (local.set $w (i64.load (local.get $table)))
        (local.set $s (i64.load offset=8 (local.get $table)))
        (local.set $end (i32.add (local.get $j) (local.get $step)))
        (loop $pairs
        ${butterfly}
        (local.set $j (i32.add (local.get $j) (i32.const 8)))
        (br_if $pairs (i32.lt_u (local.get $j) (local.get $end))))
        (local.set $j (i32.add (local.get $j) (local.get $step)))
        (local.set $table (i32.add (local.get $table) (i32.const 16)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $groups (i32.lt_u (local.get $i) (local.get $m))))
      ${next}))`;
}

const NEXT = (names: readonly string[], bytes = 8): string =>
  names.map((name) => `(local.set ${name} (i32.add (local.get ${name}) (i32.const ${bytes})))`).join(' ');

/** The module's text. */
export function encryptionKernelText(): string {
  return `;; Symmetric encryption of batches: see encrypt-wat.ts
(module
  (memory (export "memory") 16 4096)

  ${compress()}

  ${expand()}

  ;; to[map[i]] = values[i] modulo t, for signed values within t / 2; non-zero when one is outside
  (func (export "place") (param $to i32) (param $values i32) (param $map i32) (param $n i32) (param $t i64) (result i32)
    (local $end i32) (local $v i64) (local $bad i64) (local $half i64)
    (local.set $half (i64.shr_u (local.get $t) (i64.const 1)))
    (local.set $end (i32.add (local.get $values) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $v ${load('$values')})
      (local.set $bad (i64.or (local.get $bad) (i64.or (i64.sub (local.get $half) (local.get $v)) (i64.add (local.get $half) (local.get $v)))))
      (i64.store (i32.add (local.get $to) (i32.load (local.get $map)))
        (i64.add (local.get $v) (i64.and (i64.shr_s (local.get $v) (i64.const 63)) (local.get $t))))
      ${NEXT(['$values'])} ${NEXT(['$map'], 4)}
      (br_if $l (i32.lt_u (local.get $values) (local.get $end))))
    (i64.lt_s (local.get $bad) (i64.const 0)))

  ${transform('forward')}

  ${transform('inverse')}

  ;; a[i] = a[i] * w modulo q, reduced; s is the quotient of w
  (func (export "scale") (param $a i32) (param $n i32) (param $factor i64) (param $quotient i64) (param $q i64)
    (local $end i32) ${PRODUCT_LOCALS}
    (local.set $w (local.get $factor))
    (local.set $s (local.get $quotient))
    (local.set $end (i32.add (local.get $a) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $x ${load('$a')})
        ${PRODUCT}
        ${REDUCE}
      (i64.store (local.get $a) (local.get $r))
      ${NEXT(['$a'])}
      (br_if $l (i32.lt_u (local.get $a) (local.get $end)))))

  ;; to[i] = m[i] nearest zero, plus t times a centred binomial error of 21 + 21 bits from six random bytes: as SEAL's
  (func (export "hide") (param $to i32) (param $m i32) (param $random i32) (param $n i32) (param $t i64)
    (local $end i32) (local $v i64) (local $bits i64)
    (local.set $end (i32.add (local.get $m) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $v ${load('$m')})
      (local.set $v (select (i64.sub (local.get $v) (local.get $t)) (local.get $v) (i64.gt_u (local.get $v) (i64.shr_u (local.get $t) (i64.const 1)))))
      (local.set $bits (i64.load align=1 (local.get $random)))
      (i64.store (local.get $to) (i64.add (local.get $v) (i64.mul (local.get $t) (i64.sub
        (i64.popcnt (i64.and (local.get $bits) (i64.const 0x1fffff)))
        (i64.popcnt (i64.and (local.get $bits) (i64.const 0x1fffff000000)))))))
      ${NEXT(['$to', '$m'])} ${NEXT(['$random'], 6)}
      (br_if $l (i32.lt_u (local.get $m) (local.get $end)))))

  ;; to[i] = from[i] + offset, offset a multiple of the prime that makes every word positive
  (func (export "lift") (param $to i32) (param $from i32) (param $n i32) (param $offset i64)
    (local $end i32)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (i64.store (local.get $to) (i64.add ${load('$from')} (local.get $offset)))
      ${NEXT(['$to', '$from'])}
      (br_if $l (i32.lt_u (local.get $from) (local.get $end)))))

  ;; a[i] = random[i] modulo q where random[i] is below limit, else from the next spare word; the end of the spare words
  (func (export "uniform") (param $a i32) (param $spare i32) (param $n i32) (param $limit i64) (param $q i64) (result i32)
    (local $end i32) (local $v i64)
    (local.set $end (i32.add (local.get $a) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $v ${load('$a')})
      (block $taken (loop $again
        (br_if $taken (i64.lt_u (local.get $v) (local.get $limit)))
        (local.set $v ${load('$spare')})
        ${NEXT(['$spare'])}
        (br $again)))
      (i64.store (local.get $a) (i64.rem_u (local.get $v) (local.get $q)))
      ${NEXT(['$a'])}
      (br_if $l (i32.lt_u (local.get $a) (local.get $end))))
    (local.get $spare))

  ;; c[i] = c[i] - a[i] * key[i] modulo q, reduced; key holds pairs of a word and its quotient
  (func (export "mask") (param $c i32) (param $a i32) (param $key i32) (param $n i32) (param $q i64) (param $one i64)
    (local $end i32) ${PRODUCT_LOCALS}
    (local.set $end (i32.add (local.get $c) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $x ${load('$a')})
      (local.set $w (i64.load (local.get $key)))
      (local.set $s (i64.load offset=8 (local.get $key)))
        ${PRODUCT}
      (local.set $x (i64.sub (i64.add ${load('$c')} (i64.shl (local.get $q) (i64.const 3))) (local.get $r)))
      (local.set $w (i64.const 1))
      (local.set $s (local.get $one))
        ${PRODUCT}
        ${REDUCE}
      (i64.store (local.get $c) (local.get $r))
      ${NEXT(['$c', '$a'])} ${NEXT(['$key'], 16)}
      (br_if $l (i32.lt_u (local.get $c) (local.get $end)))))
)
`;
}
