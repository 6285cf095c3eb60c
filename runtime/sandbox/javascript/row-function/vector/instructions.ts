/**
 * The closed instruction set that a row function is compiled to: WebAssembly's two-lane operations that have no memory, no branch
 * and no trap, with their opcodes behind the prefix 0xFD (WebAssembly core specification 2.0, section 5.4.8). What is not named
 * here cannot be in a module that this folder makes, but for the loop around it (module.ts).
 */
export const operations = {
  not: [0x4d, 1],
  and: [0x4e, 2],
  /** the first without the bits of the second */
  andNot: [0x4f, 2],
  or: [0x50, 2],
  xor: [0x51, 2],
  /** the first where the third has ones, else the second */
  select: [0x52, 3],
  equal: [0x47, 2],
  less: [0x49, 2],
  greater: [0x4a, 2],
  atMost: [0x4b, 2],
  atLeast: [0x4c, 2],
  ceil: [0x74, 1],
  floor: [0x75, 1],
  trunc: [0x7a, 1],
  abs: [0xec, 1],
  negate: [0xed, 1],
  sqrt: [0xef, 1],
  add: [0xf0, 2],
  subtract: [0xf1, 2],
  multiply: [0xf2, 2],
  divide: [0xf3, 2],
  min: [0xf4, 2],
  max: [0xf5, 2],
  /** the second where it is less than the first, else the first */
  lesser: [0xf6, 2],
  /** the second where the first is less than it, else the first */
  larger: [0xf7, 2],
  /** the low two 32-bit integers as doubles */
  fromInt32: [0xfe, 1],
  fromUint32: [0xff, 1],
  toInt32: [0xfc, 1],
  toUint32: [0xfd, 1],
  int32Equal: [0x37, 2],
  int32Shift: [0xab, 1, 'shift'],
  int32ShiftRight: [0xac, 1, 'shift'],
  uint32ShiftRight: [0xad, 1, 'shift'],
  /** the low four 16-bit integers as 32-bit ones, and so on */
  widen8: [0x87, 1],
  widen16: [0xa7, 1],
  widen32: [0xc7, 1],
  int64Add: [0xce, 2],
  int64Subtract: [0xd1, 2],
  int64Equal: [0xd6, 2],
  int64Greater: [0xd9, 2],
  int64Shift: [0xcb, 1, 'shift'],
  uint64ShiftRight: [0xcd, 1, 'shift'],
} as const;

/** `remainder` has no instruction: it is a call of the one function that a module may have beside its loop (remainder.ts). */
export type Operation = keyof typeof operations | 'remainder';

/** How two neighbouring values of a column come into a register. */
export const loads = {
  float64: { opcode: 0x00, bytes: 8 },
  int32: { opcode: 0x5d, bytes: 4 },
  int8: { opcode: 0x08, bytes: 1 },
} as const;

export type LoadKind = keyof typeof loads;
