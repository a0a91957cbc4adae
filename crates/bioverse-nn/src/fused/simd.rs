//! One loop, compiled for several instruction sets, and the choice between them at run time.
//!
//! Knows no arithmetic. Loops are written so that the compiler vectorises them; `FMA` tells them whether a fused
//! multiply-add is an instruction, for where it is not, `f32::mul_add` is a slow call.

/// Defines `fn $name` that runs `$body::<FMA>` with the widest instructions of the machine.
macro_rules! vectorised {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$meta])*
        pub(super) fn $name($($arg: $kind),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512($($arg: $kind),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $kind),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                if $crate::fused::simd::has_avx512() {
                    // SAFETY: the machine has what `avx512` was compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if $crate::fused::simd::has_avx2() {
                    // SAFETY: the machine has what `avx2` was compiled for.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}

pub(super) use vectorised;

/// What `avx512` of [`vectorised`] is compiled for.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && has_avx2()
}

/// What `avx2` of [`vectorised`] is compiled for.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// `a · b + c`, rounded once where that is an instruction.
#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
