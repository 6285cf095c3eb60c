;; Linear arithmetic over the bodies of serialised ciphertexts: little-endian 64-bit residues, one prime at a time.
;; Every function is data-independent: same instructions whatever the residues are. `n` counts words and is a multiple
;; of 8. Functions that read outside words return non-zero when a word is not below the prime; the caller then throws
;; the whole accumulator away, so wrap-around on bad input never matters.
(module
  (memory (export "memory") 4 65536)

  ;; dst[i] += src[i]
  (func (export "add") (param $d i32) (param $s i32) (param $n i32) (param $q i64) (result i32)
    (local $e i32) (local $top v128) (local $bad v128) (local $x v128) (local $y v128)
    (local.set $top (i64x2.splat (i64.sub (local.get $q) (i64.const 1))))
    (local.set $e (i32.add (local.get $d) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $x (v128.load offset=0 align=1 (local.get $s)))
      (local.set $y (v128.load offset=16 align=1 (local.get $s)))
      ;; both words are non-negative and top - word is non-negative, or the sign bit of bad is set
      (local.set $bad (v128.or (local.get $bad) (v128.or
        (v128.or (local.get $x) (i64x2.sub (local.get $top) (local.get $x)))
        (v128.or (local.get $y) (i64x2.sub (local.get $top) (local.get $y))))))
      (v128.store offset=0 (local.get $d) (i64x2.add (v128.load offset=0 (local.get $d)) (local.get $x)))
      (v128.store offset=16 (local.get $d) (i64x2.add (v128.load offset=16 (local.get $d)) (local.get $y)))
      (local.set $d (i32.add (local.get $d) (i32.const 32)))
      (local.set $s (i32.add (local.get $s) (i32.const 32)))
      (br_if $l (i32.lt_u (local.get $d) (local.get $e))))
    (i64x2.bitmask (local.get $bad)))

  ;; dst[i] += a[i] + b[i] + c[i] + e[i] for four sources `stride` bytes apart: the accumulator is read and written once
  (func (export "add4") (param $d i32) (param $s i32) (param $stride i32) (param $n i32) (param $q i64) (result i32)
    (local $e i32) (local $s1 i32) (local $s2 i32) (local $s3 i32) (local $top v128) (local $bad v128)
    (local $x v128) (local $y v128) (local $z v128) (local $w v128)
    (local.set $top (i64x2.splat (i64.sub (local.get $q) (i64.const 1))))
    (local.set $e (i32.add (local.get $d) (i32.shl (local.get $n) (i32.const 3))))
    (local.set $s1 (i32.add (local.get $s) (local.get $stride)))
    (local.set $s2 (i32.add (local.get $s1) (local.get $stride)))
    (local.set $s3 (i32.add (local.get $s2) (local.get $stride)))
    (loop $l
      (local.set $x (v128.load align=1 (local.get $s)))
      (local.set $y (v128.load align=1 (local.get $s1)))
      (local.set $z (v128.load align=1 (local.get $s2)))
      (local.set $w (v128.load align=1 (local.get $s3)))
      (local.set $bad (v128.or (local.get $bad) (v128.or
        (v128.or
          (v128.or (local.get $x) (i64x2.sub (local.get $top) (local.get $x)))
          (v128.or (local.get $y) (i64x2.sub (local.get $top) (local.get $y))))
        (v128.or
          (v128.or (local.get $z) (i64x2.sub (local.get $top) (local.get $z)))
          (v128.or (local.get $w) (i64x2.sub (local.get $top) (local.get $w)))))))
      (v128.store (local.get $d) (i64x2.add (v128.load (local.get $d))
        (i64x2.add (i64x2.add (local.get $x) (local.get $y)) (i64x2.add (local.get $z) (local.get $w)))))
      (local.set $d (i32.add (local.get $d) (i32.const 16)))
      (local.set $s (i32.add (local.get $s) (i32.const 16)))
      (local.set $s1 (i32.add (local.get $s1) (i32.const 16)))
      (local.set $s2 (i32.add (local.get $s2) (i32.const 16)))
      (local.set $s3 (i32.add (local.get $s3) (i32.const 16)))
      (br_if $l (i32.lt_u (local.get $d) (local.get $e))))
    (i64x2.bitmask (local.get $bad)))

  ;; dst[i] += weight * (negative ? q - src[i] : src[i]); weight * q plus what dst holds must stay below 2^64
  (func (export "mac") (param $d i32) (param $s i32) (param $n i32) (param $weight i64) (param $negative i32) (param $q i64) (result i32)
    (local $e i32) (local $top v128) (local $bad v128) (local $x v128) (local $y v128) (local $w v128) (local $flip v128) (local $plus v128)
    (local.set $top (i64x2.splat (i64.sub (local.get $q) (i64.const 1))))
    (local.set $w (i64x2.splat (local.get $weight)))
    (local.set $flip (i64x2.splat (i64.sub (i64.const 0) (i64.extend_i32_u (local.get $negative)))))
    (local.set $plus (v128.and (local.get $flip) (i64x2.splat (i64.add (local.get $q) (i64.const 1)))))
    (local.set $e (i32.add (local.get $d) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $x (v128.load offset=0 align=1 (local.get $s)))
      (local.set $y (v128.load offset=16 align=1 (local.get $s)))
      (local.set $bad (v128.or (local.get $bad) (v128.or
        (v128.or (local.get $x) (i64x2.sub (local.get $top) (local.get $x)))
        (v128.or (local.get $y) (i64x2.sub (local.get $top) (local.get $y))))))
      ;; two's complement: (x ^ -1) + q + 1 = q - x
      (v128.store offset=0 (local.get $d) (i64x2.add (v128.load offset=0 (local.get $d))
        (i64x2.mul (local.get $w) (i64x2.add (v128.xor (local.get $x) (local.get $flip)) (local.get $plus)))))
      (v128.store offset=16 (local.get $d) (i64x2.add (v128.load offset=16 (local.get $d))
        (i64x2.mul (local.get $w) (i64x2.add (v128.xor (local.get $y) (local.get $flip)) (local.get $plus)))))
      (local.set $d (i32.add (local.get $d) (i32.const 32)))
      (local.set $s (i32.add (local.get $s) (i32.const 32)))
      (br_if $l (i32.lt_u (local.get $d) (local.get $e))))
    (i64x2.bitmask (local.get $bad)))

  ;; acc[i] += a[i] * b[i] for words below 2^28 (56-bit products: 256 of them fit before one reduction)
  (func (export "product28") (param $acc i32) (param $a i32) (param $b i32) (param $n i32)
    (local $e i32) (local $x v128) (local $y v128)
    (local.set $e (i32.add (local.get $acc) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $x (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
        (v128.load offset=0 align=1 (local.get $a)) (v128.load offset=16 align=1 (local.get $a))))
      (local.set $y (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
        (v128.load offset=0 align=1 (local.get $b)) (v128.load offset=16 align=1 (local.get $b))))
      (v128.store offset=0 (local.get $acc) (i64x2.add (v128.load offset=0 (local.get $acc))
        (i64x2.extmul_low_i32x4_u (local.get $x) (local.get $y))))
      (v128.store offset=16 (local.get $acc) (i64x2.add (v128.load offset=16 (local.get $acc))
        (i64x2.extmul_high_i32x4_u (local.get $x) (local.get $y))))
      (local.set $acc (i32.add (local.get $acc) (i32.const 32)))
      (local.set $a (i32.add (local.get $a) (i32.const 32)))
      (local.set $b (i32.add (local.get $b) (i32.const 32)))
      (br_if $l (i32.lt_u (local.get $acc) (local.get $e)))))

  ;; dst[i] = (dst[i] * factor + src[i]) mod q for primes below 2^28: one step of Horner's rule
  (func (export "scaleAdd28") (param $d i32) (param $s i32) (param $n i32) (param $factor i64) (param $q i64)
    (local $e i32)
    (local.set $e (i32.add (local.get $d) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (i64.store (local.get $d) (i64.rem_u
        (i64.add (i64.mul (i64.load (local.get $d)) (local.get $factor)) (i64.load align=1 (local.get $s)))
        (local.get $q)))
      (local.set $d (i32.add (local.get $d) (i32.const 8)))
      (local.set $s (i32.add (local.get $s) (i32.const 8)))
      (br_if $l (i32.lt_u (local.get $d) (local.get $e)))))

  ;; dst[i] = dst[i] mod q
  (func (export "reduce") (param $d i32) (param $n i32) (param $q i64)
    (local $e i32)
    (local.set $e (i32.add (local.get $d) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (i64.store (local.get $d) (i64.rem_u (i64.load (local.get $d)) (local.get $q)))
      (local.set $d (i32.add (local.get $d) (i32.const 8)))
      (br_if $l (i32.lt_u (local.get $d) (local.get $e)))))

  ;; non-zero when a word is not below q
  (func (export "outOfRange") (param $s i32) (param $n i32) (param $q i64) (result i32)
    (local $e i32) (local $top v128) (local $bad v128) (local $x v128) (local $y v128)
    (local.set $top (i64x2.splat (i64.sub (local.get $q) (i64.const 1))))
    (local.set $e (i32.add (local.get $s) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $x (v128.load offset=0 align=1 (local.get $s)))
      (local.set $y (v128.load offset=16 align=1 (local.get $s)))
      (local.set $bad (v128.or (local.get $bad) (v128.or
        (v128.or (local.get $x) (i64x2.sub (local.get $top) (local.get $x)))
        (v128.or (local.get $y) (i64x2.sub (local.get $top) (local.get $y))))))
      (local.set $s (i32.add (local.get $s) (i32.const 32)))
      (br_if $l (i32.lt_u (local.get $s) (local.get $e))))
    (i64x2.bitmask (local.get $bad)))

  ;; non-zero when any word is non-zero
  (func (export "anyNonZero") (param $s i32) (param $n i32) (result i32)
    (local $e i32) (local $any v128)
    (local.set $e (i32.add (local.get $s) (i32.shl (local.get $n) (i32.const 3))))
    (loop $l
      (local.set $any (v128.or (local.get $any) (v128.or
        (v128.load offset=0 align=1 (local.get $s)) (v128.load offset=16 align=1 (local.get $s)))))
      (local.set $s (i32.add (local.get $s) (i32.const 32)))
      (br_if $l (i32.lt_u (local.get $s) (local.get $e))))
    (v128.any_true (local.get $any)))
)
