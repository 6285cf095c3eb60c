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

  ;; dst[i] (32 bits) = src[i] (signed 64 bits) mod q: residues of a polynomial with signed coefficients
  (func (export "residues28") (param $d i32) (param $s i32) (param $n i32) (param $q i64)
    (local $e i32) (local $x i64)
    (local.set $e (i32.add (local.get $d) (i32.shl (local.get $n) (i32.const 2))))
    (loop $l
      (local.set $x (i64.rem_s (i64.load (local.get $s)) (local.get $q)))
      ;; add q when the remainder is negative: its sign bit, spread, selects q
      (i32.store (local.get $d) (i32.wrap_i64
        (i64.add (local.get $x) (i64.and (i64.shr_s (local.get $x) (i64.const 63)) (local.get $q)))))
      (local.set $d (i32.add (local.get $d) (i32.const 4)))
      (local.set $s (i32.add (local.get $s) (i32.const 8)))
      (br_if $l (i32.lt_u (local.get $d) (local.get $e)))))

  ;; In-place negacyclic number-theoretic transform of n 32-bit words below 4q, q below 2^28: Cooley-Tukey butterflies
  ;; with Harvey's lazy reduction and Shoup's precomputed quotients. `roots` holds powers of a primitive 2n-th root in
  ;; bit-reversed order, `quotients` floor(root * 2^32 / q). Words come out in bit-reversed order, below q.
  (func (export "transform28") (param $a i32) (param $n i32) (param $roots i32) (param $quotients i32) (param $q i32)
    (local $m i32) (local $t i32) (local $i i32) (local $j i32) (local $end i32) (local $step i32)
    (local $w i32) (local $s i32) (local $x i32) (local $v i32)
    (local $wv v128) (local $sv v128) (local $qv v128) (local $q2 v128)
    (local $xv v128) (local $yv v128) (local $vv v128)
    (local.set $qv (i32x4.splat (local.get $q)))
    (local.set $q2 (i32x4.splat (i32.shl (local.get $q) (i32.const 1))))
    (local.set $m (i32.const 1))
    (local.set $t (local.get $n))
    (loop $layers
      (local.set $t (i32.shr_u (local.get $t) (i32.const 1)))
      (local.set $step (i32.shl (local.get $t) (i32.const 2)))
      (local.set $j (local.get $a))
      (local.set $i (i32.const 0))
      (loop $groups
        (local.set $w (i32.load (i32.add (local.get $roots) (i32.shl (i32.add (local.get $m) (local.get $i)) (i32.const 2)))))
        (local.set $s (i32.load (i32.add (local.get $quotients) (i32.shl (i32.add (local.get $m) (local.get $i)) (i32.const 2)))))
        (local.set $end (i32.add (local.get $j) (local.get $step)))
        (if (i32.ge_u (local.get $t) (i32.const 4))
          (then
            (local.set $wv (i32x4.splat (local.get $w)))
            (local.set $sv (i32x4.splat (local.get $s)))
            (loop $four
              (local.set $xv (v128.load (local.get $j)))
              (local.set $xv (i32x4.min_u (local.get $xv) (i32x4.sub (local.get $xv) (local.get $q2))))
              (local.set $yv (v128.load (i32.add (local.get $j) (local.get $step))))
              ;; y * w - floor(y * s / 2^32) * q lies in [0, 2q)
              (local.set $vv (i32x4.sub
                (i32x4.mul (local.get $yv) (local.get $wv))
                (i32x4.mul (local.get $qv) (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31
                  (i64x2.extmul_low_i32x4_u (local.get $yv) (local.get $sv))
                  (i64x2.extmul_high_i32x4_u (local.get $yv) (local.get $sv))))))
              (v128.store (local.get $j) (i32x4.add (local.get $xv) (local.get $vv)))
              (v128.store (i32.add (local.get $j) (local.get $step))
                (i32x4.add (i32x4.sub (local.get $xv) (local.get $vv)) (local.get $q2)))
              (local.set $j (i32.add (local.get $j) (i32.const 16)))
              (br_if $four (i32.lt_u (local.get $j) (local.get $end)))))
          (else
            (loop $one
              (local.set $x (i32.load (local.get $j)))
              (local.set $x (i32.sub (local.get $x)
                (i32.and (i32.shl (local.get $q) (i32.const 1))
                  (i32.sub (i32.const 0) (i32.ge_u (local.get $x) (i32.shl (local.get $q) (i32.const 1)))))))
              (local.set $v (i32.load (i32.add (local.get $j) (local.get $step))))
              (local.set $v (i32.sub
                (i32.mul (local.get $v) (local.get $w))
                (i32.mul (local.get $q) (i32.wrap_i64 (i64.shr_u
                  (i64.mul (i64.extend_i32_u (local.get $v)) (i64.extend_i32_u (local.get $s))) (i64.const 32))))))
              (i32.store (local.get $j) (i32.add (local.get $x) (local.get $v)))
              (i32.store (i32.add (local.get $j) (local.get $step))
                (i32.add (i32.sub (local.get $x) (local.get $v)) (i32.shl (local.get $q) (i32.const 1))))
              (local.set $j (i32.add (local.get $j) (i32.const 4)))
              (br_if $one (i32.lt_u (local.get $j) (local.get $end))))))
        (local.set $j (i32.add (local.get $j) (local.get $step)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $groups (i32.lt_u (local.get $i) (local.get $m))))
      (local.set $m (i32.shl (local.get $m) (i32.const 1)))
      (br_if $layers (i32.lt_u (local.get $m) (local.get $n))))
    (local.set $j (local.get $a))
    (local.set $end (i32.add (local.get $a) (i32.shl (local.get $n) (i32.const 2))))
    (loop $last
      (local.set $xv (v128.load (local.get $j)))
      (local.set $xv (i32x4.min_u (local.get $xv) (i32x4.sub (local.get $xv) (local.get $q2))))
      (v128.store (local.get $j) (i32x4.min_u (local.get $xv) (i32x4.sub (local.get $xv) (local.get $qv))))
      (local.set $j (i32.add (local.get $j) (i32.const 16)))
      (br_if $last (i32.lt_u (local.get $j) (local.get $end)))))

  ;; dst[i] (64 bits) = src[i] (32 bits)
  (func (export "widen28") (param $d i32) (param $s i32) (param $n i32)
    (local $e i32)
    (local.set $e (i32.add (local.get $s) (i32.shl (local.get $n) (i32.const 2))))
    (loop $l
      (v128.store (local.get $d) (i64x2.extend_low_i32x4_u (v128.load (local.get $s))))
      (v128.store offset=16 (local.get $d) (i64x2.extend_high_i32x4_u (v128.load (local.get $s))))
      (local.set $d (i32.add (local.get $d) (i32.const 32)))
      (local.set $s (i32.add (local.get $s) (i32.const 16)))
      (br_if $l (i32.lt_u (local.get $s) (local.get $e)))))

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
