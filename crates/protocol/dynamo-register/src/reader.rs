//! Fields from the front of received bytes.

use alloc::vec::Vec;

use dynamo_ring::ReplicaSet;
use dynamo_types::{NodeId, Replication};

use crate::ballot::{Ballot, LAMPORT_MAX, PlanHash};
use crate::encoding::DecodeRegisterError;

/// A place in bytes that moves forward with each field.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeRegisterError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeRegisterError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeRegisterError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeRegisterError::Flag(other)),
        }
    }

    /// A number of proposals or forces, which is never beyond the largest.
    pub(crate) fn lamport(&mut self) -> Result<u64, DecodeRegisterError> {
        let lamport = self.u64()?;
        if lamport > LAMPORT_MAX { Err(DecodeRegisterError::Lamport(lamport)) } else { Ok(lamport) }
    }

    pub(crate) fn plan(&mut self) -> Result<PlanHash, DecodeRegisterError> {
        Ok(PlanHash(u128::from_be_bytes(self.array()?)))
    }

    pub(crate) fn ballot(&mut self) -> Result<Ballot, DecodeRegisterError> {
        Ok(Ballot { lamport: self.lamport()?, plan: self.plan()? })
    }

    pub(crate) fn optional_ballot(&mut self) -> Result<Option<Ballot>, DecodeRegisterError> {
        Ok(if self.flag()? { Some(self.ballot()?) } else { None })
    }

    pub(crate) fn nodes(&mut self) -> Result<Vec<NodeId>, DecodeRegisterError> {
        let count = self.byte()?;
        if count > 2 * Replication::MAX {
            return Err(DecodeRegisterError::Set);
        }
        (0..count).map(|_| self.u64().map(NodeId)).collect()
    }

    pub(crate) fn set(&mut self) -> Result<ReplicaSet, DecodeRegisterError> {
        ReplicaSet::new(&self.nodes()?).map_err(|_| DecodeRegisterError::Set)
    }

    fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], DecodeRegisterError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(DecodeRegisterError::Truncated)?;
        self.rest = rest;
        Ok(*field)
    }
}
