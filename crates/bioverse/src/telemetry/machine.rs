//! Memory of this process and of the device it computes on. It knows no limit and no unit but the byte.

/// A reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory of this process in bytes, where the system tells.
    pub process: Option<usize>,
    /// Used and total memory of the first NVIDIA card in bytes, whoever uses it; only in programs built for CUDA.
    pub gpu: Option<(u64, u64)>,
}

impl Memory {
    /// Now.
    pub fn now() -> Self {
        Self {
            process: memory_stats::memory_stats().map(|stats| stats.physical_mem),
            gpu: gpu(),
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn gpu() -> Option<(u64, u64)> {
    None
}

#[cfg(feature = "cuda")]
fn gpu() -> Option<(u64, u64)> {
    use nvml_wrapper::Nvml;
    // Opening the library takes milliseconds; a machine without it is asked once.
    static NVML: std::sync::OnceLock<Option<Nvml>> = std::sync::OnceLock::new();
    let nvml = NVML.get_or_init(|| Nvml::init().ok()).as_ref()?;
    let memory = nvml.device_by_index(0).ok()?.memory_info().ok()?;
    Some((memory.used, memory.total))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_allocated_and_used_is_seen() {
        let before = Memory::now().process.unwrap();
        let held = vec![1u8; 64 << 20];
        let after = Memory::now().process.unwrap();
        assert!(after >= before + (48 << 20), "{before} {after}");
        assert_eq!(held[held.len() / 2], 1);
    }
}
