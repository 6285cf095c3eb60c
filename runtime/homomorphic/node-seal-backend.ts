import { randomFillSync } from 'node:crypto';
import type {
  BatchEncoder,
  Ciphertext as SealCiphertext,
  CKKSEncoder,
  Decryptor,
  Encryptor,
  Evaluator,
  GaloisKeys,
  KeyGenerator,
  Plaintext as SealPlaintext,
  PublicKey,
  RelinKeys,
  SEALContext,
  SecretKey,
} from 'node-seal';
import type { Backend, BackendContext, Ciphertext, KeyMaterial, Plaintext } from './backend.ts';
import { BatchEncoder as CoefficientEncoder } from './batch-encoder.ts';
import { HomomorphicFault } from './fault.ts';
import { CIPHERTEXT_BODY_OFFSET, PLAINTEXT_BODY_OFFSET, type CiphertextShape } from './layout.ts';
import { slotCount, type Profile, type ProfileId } from './profiles.ts';
import { SealInstance } from './seal-instance.ts';
import { SeededEncryptor } from './seeded-encryptor.ts';
import { checkCiphertext, checkPublicKey, checkRelinearisationKey, checkSecretKey } from './validate.ts';
import { type Handle, makeContext, checkRange, cipher, plainOf, plainArray, bytesOf, present } from './seal-objects.ts';

/** A backend on its own node-seal instance; open one per trust domain and end the process to forget its keys. */
export async function openNodeSealBackend(): Promise<Backend> {
  const instance = await SealInstance.load();
  const contexts = new Map<ProfileId, NodeSealContext>();
  return {
    open(profile: Profile): BackendContext {
      let context = contexts.get(profile.id);
      if (context === undefined) {
        context = new NodeSealContext(instance, profile);
        contexts.set(profile.id, context);
      }
      return context;
    },
    get isUsable(): boolean {
      return instance.isUsable;
    },
  };
}

class NodeSealContext implements BackendContext {
  readonly profile: Profile;
  readonly #instance: SealInstance;
  readonly #owned = new DisposableStack();
  readonly #context: SEALContext;
  readonly #evaluator: Evaluator;
  readonly #batch: BatchEncoder | null;
  readonly #reals: CKKSEncoder | null;
  #secretKey: SecretKey | null = null;
  #secretBytes: Uint8Array | null = null;
  #seeded: SeededEncryptor | null = null;
  #coefficients: CoefficientEncoder | null = null;
  #publicKey: PublicKey | null = null;
  #relin: RelinKeys | null = null;
  #galois: GaloisKeys | null = null;
  #encryptor: Encryptor | null = null;
  #decryptor: Decryptor | null = null;

  constructor(instance: SealInstance, profile: Profile) {
    this.profile = profile;
    this.#instance = instance;
    const { seal } = instance;
    this.#context = this.#own(instance.call(() => makeContext(instance, profile)));
    this.#evaluator = this.#own(instance.call(() => new seal.Evaluator(this.#context)));
    const isReal = profile.scheme === 'ckks';
    this.#batch = isReal ? null : this.#own(instance.call(() => new seal.BatchEncoder(this.#context)));
    this.#reals = isReal ? this.#own(instance.call(() => new seal.CKKSEncoder(this.#context))) : null;
  }

  generateKeys(): KeyMaterial {
    const { seal } = this.#instance;
    return this.#instance.call(() => {
      using generator: KeyGenerator = new seal.KeyGenerator(this.#context);
      using secret = generator.secretKey();
      using open = generator.createPublicKeySerializable();
      let relinearisationKey: Uint8Array | null = null;
      if (this.profile.primes.length > 1) {
        using relin = generator.createRelinKeysSerializable();
        relinearisationKey = bytesOf(relin.saveToArray(seal.ComprModeType.none));
      }
      return {
        profile: this.profile.id,
        secretKey: bytesOf(secret.saveToArray(seal.ComprModeType.none)),
        publicKey: bytesOf(open.saveToArray(seal.ComprModeType.none)),
        relinearisationKey,
      };
    });
  }

  useSecretKey(bytes: Uint8Array): void {
    checkSecretKey(this.profile, bytes);
    const { seal } = this.#instance;
    this.#secretKey = this.#own(this.#loaded(new seal.SecretKey(), bytes));
    this.#secretBytes = bytes;
    this.#seeded = null;
    this.#decryptor = this.#own(this.#instance.call(() => new seal.Decryptor(this.#context, this.#key())));
    if (this.#publicKey === null) {
      // SEAL's encryptor wants a public key even for encryption under the secret key
      this.#publicKey = this.#own(
        this.#instance.call(() => {
          using generator = new seal.KeyGenerator(this.#context, this.#key());
          return generator.createPublicKey();
        }),
      );
    }
    this.#remakeEncryptor();
  }

  usePublicKey(bytes: Uint8Array): void {
    checkPublicKey(this.profile, bytes);
    this.#publicKey = this.#own(this.#loaded(new this.#instance.seal.PublicKey(), bytes));
    this.#remakeEncryptor();
  }

  useRelinearisationKey(bytes: Uint8Array): void {
    checkRelinearisationKey(this.profile, bytes);
    this.#relin = this.#own(this.#loaded(new this.#instance.seal.RelinKeys(), bytes));
  }

  makeRotationKeys(steps: readonly number[]): void {
    this.#galois = this.#own(
      this.#instance.call(() => {
        using generator = new this.#instance.seal.KeyGenerator(this.#context, this.#key());
        return generator.createGaloisKeysWithSteps(Int32Array.from(steps));
      }),
    );
  }

  encodeIntegers(values: BigInt64Array): Plaintext {
    const encoder = present(this.#batch, 'integers need an exact scheme');
    if (values.length > this.profile.degree) throw new HomomorphicFault('out-of-range', 'more values than slots');
    checkRange(values, this.profile.plainModulus);
    return this.#plaintext((plain) => encoder.encode(values, plain));
  }

  encodeReals(values: Float64Array, options?: { readonly like?: Ciphertext; readonly scale?: number }): Plaintext {
    const encoder = present(this.#reals, 'reals need CKKS');
    if (values.length > slotCount(this.profile)) throw new HomomorphicFault('out-of-range', 'more values than slots');
    for (const value of values)
      if (!Number.isFinite(value)) throw new HomomorphicFault('out-of-range', 'a value is not finite');
    return this.#plaintext((plain) => {
      encoder.encode(values, options?.scale ?? this.profile.scale, plain);
      if (options?.like === undefined) return;
      using level = cipher(options.like).parmsId();
      this.#evaluator.plainModSwitchToInplace(plain, level);
    });
  }

  encodeForProduct(values: BigInt64Array): Uint8Array {
    using plain = this.encodeIntegers(values);
    return this.#instance.call(() => {
      using level = this.#context.firstParmsId();
      const inner = plainOf(plain);
      this.#evaluator.plainTransformToNttInplace(inner, level);
      return bytesOf(inner.saveToArray(this.#instance.seal.ComprModeType.none)).subarray(PLAINTEXT_BODY_OFFSET);
    });
  }

  encodeCoefficients(values: BigInt64Array): BigInt64Array {
    this.#coefficients ??= new CoefficientEncoder(this.profile);
    return this.#coefficients.encode(values);
  }

  encryptSeeded(plain: Plaintext): Uint8Array {
    this.#key();
    return this.#instance.call(() => {
      using sealed = this.#encrypting().encryptSymmetricSerializable(plainOf(plain));
      return bytesOf(sealed.saveToArray(this.#instance.seal.ComprModeType.none));
    });
  }

  encryptIntegersSeeded(values: BigInt64Array): Uint8Array {
    if (this.profile.scheme !== 'bgv') {
      using plain = this.encodeIntegers(values);
      return this.encryptSeeded(plain);
    }
    // made when it is first used: a decryptor never encrypts
    this.#seeded ??= new SeededEncryptor(
      this.profile,
      present(this.#secretBytes, 'no secret key here'),
      (target) => void randomFillSync(target),
    );
    return this.#seeded.encrypt(values);
  }

  encryptWithPublicKey(plain: Plaintext): Ciphertext {
    return this.#ciphertext((target) => this.#encrypting().encrypt(plainOf(plain), target));
  }

  encryptZero(): Ciphertext {
    return this.#ciphertext((target) => this.#encrypting().encryptZero(target));
  }

  load(shape: CiphertextShape, bytes: Uint8Array): Ciphertext {
    if (shape.profile.id !== this.profile.id)
      throw new HomomorphicFault('bad-ciphertext', 'ciphertext of another profile');
    checkCiphertext(shape, bytes);
    return this.#ciphertext((target) => target.loadFromArray(this.#context, plainArray(bytes)));
  }

  body(ciphertext: Ciphertext): Uint8Array {
    return this.save(ciphertext).subarray(CIPHERTEXT_BODY_OFFSET);
  }

  save(ciphertext: Ciphertext): Uint8Array {
    return this.#instance.call(() => bytesOf(cipher(ciphertext).saveToArray(this.#instance.seal.ComprModeType.none)));
  }

  decryptIntegers(ciphertext: Ciphertext): BigInt64Array {
    const encoder = present(this.#batch, 'integers need an exact scheme');
    using plain = this.#decrypt(ciphertext);
    return this.#instance.call(() => encoder.decodeBigInt64(plainOf(plain)) as BigInt64Array);
  }

  decryptReals(ciphertext: Ciphertext): Float64Array {
    const encoder = present(this.#reals, 'reals need CKKS');
    using plain = this.#decrypt(ciphertext);
    return this.#instance.call(() => encoder.decodeFloat64(plainOf(plain)) as Float64Array);
  }

  noiseBudgetBits(ciphertext: Ciphertext): number {
    const decryptor = present(this.#decryptor, 'no secret key here');
    return this.#instance.call(() => decryptor.invariantNoiseBudget(cipher(ciphertext)));
  }

  add(left: Ciphertext, right: Ciphertext): Ciphertext {
    return this.#ciphertext((target) => this.#evaluator.add(cipher(left), cipher(right), target));
  }

  addTo(target: Ciphertext, other: Ciphertext): void {
    this.#instance.call(() => this.#evaluator.addInplace(cipher(target), cipher(other)));
  }

  addPlainTo(target: Ciphertext, plain: Plaintext): void {
    this.#instance.call(() => this.#evaluator.addPlainInplace(cipher(target), plainOf(plain)));
  }

  multiply(left: Ciphertext, right: Ciphertext): Ciphertext {
    return this.#ciphertext((target) => this.#evaluator.multiply(cipher(left), cipher(right), target));
  }

  multiplyPlain(left: Ciphertext, plain: Plaintext): Ciphertext {
    return this.#ciphertext((target) => this.#evaluator.multiplyPlain(cipher(left), plainOf(plain), target));
  }

  relinearise(target: Ciphertext): void {
    const key = present(this.#relin, 'no relinearisation key here');
    this.#instance.call(() => this.#evaluator.relinearizeInplace(cipher(target), key));
  }

  rescale(target: Ciphertext): void {
    this.#instance.call(() => this.#evaluator.rescaleToNextInplace(cipher(target)));
  }

  setScale(target: Ciphertext, scale: number): void {
    this.#instance.call(() => cipher(target).setScale(scale));
  }

  dropToLevelOf(target: Ciphertext, like: Ciphertext): void {
    this.#instance.call(() => {
      using level = cipher(like).parmsId();
      this.#evaluator.cipherModSwitchToInplace(cipher(target), level);
    });
  }

  switchDown(target: Ciphertext): void {
    this.#instance.call(() => this.#evaluator.cipherModSwitchToNextInplace(cipher(target)));
  }

  rotate(target: Ciphertext, steps: number): void {
    const keys = present(this.#galois, 'no rotation keys here');
    this.#instance.call(() => {
      if (this.profile.scheme === 'ckks') this.#evaluator.rotateVectorInplace(cipher(target), steps, keys);
      else this.#evaluator.rotateRowsInplace(cipher(target), steps, keys);
    });
  }

  copy(of: Ciphertext): Ciphertext {
    return this.#ciphertext((target) => target.assign(cipher(of)));
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }

  #own<T extends Disposable>(object: T): T {
    return this.#owned.use(object);
  }

  #loaded<T extends Disposable & { loadFromArray(context: SEALContext, bytes: Uint8Array): void }>(
    object: T,
    bytes: Uint8Array,
  ): T {
    try {
      this.#instance.call(() => object.loadFromArray(this.#context, plainArray(bytes)));
      return object;
    } catch (error) {
      object[Symbol.dispose]();
      throw error;
    }
  }

  #remakeEncryptor(): void {
    const open = present(this.#publicKey, 'no public key here');
    const secret = this.#secretKey;
    const { Encryptor } = this.#instance.seal;
    this.#encryptor = this.#own(
      this.#instance.call(() =>
        secret === null ? new Encryptor(this.#context, open) : new Encryptor(this.#context, open, secret),
      ),
    );
  }

  #encrypting(): Encryptor {
    return present(this.#encryptor, 'no key to encrypt with here');
  }

  #key(): SecretKey {
    return present(this.#secretKey, 'no secret key here');
  }

  #decrypt(ciphertext: Ciphertext): Plaintext {
    const decryptor = present(this.#decryptor, 'no secret key here');
    return this.#plaintext((plain) => decryptor.decrypt(cipher(ciphertext), plain));
  }

  #ciphertext(fill: (target: SealCiphertext) => void): Ciphertext {
    return this.#filled(() => new this.#instance.seal.Ciphertext(), fill);
  }

  #plaintext(fill: (target: SealPlaintext) => void): Plaintext {
    return this.#filled(() => new this.#instance.seal.Plaintext(), fill);
  }

  #filled<T extends Disposable>(make: () => T, fill: (target: T) => void): Handle<T> {
    const inner = this.#instance.call(make);
    try {
      this.#instance.call(() => fill(inner));
    } catch (error) {
      inner[Symbol.dispose]();
      throw error;
    }
    return { profile: this.profile.id, inner, [Symbol.dispose]: () => inner[Symbol.dispose]() };
  }
}
