use ark_bn254::Fr;
use ark_ff::{AdditiveGroup as _, One as _, Zero as _};
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, Matrix, SynthesisError, Variable,
};

/// Index of a variable: 0 is the constant one, then the public inputs, then the witness.
pub(super) type Var = usize;

/// A linear combination of variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lc(pub(super) Vec<(Fr, Var)>);

/// A rank-1 constraint system: constraints of the form `a * b = c`.
#[derive(Clone, Debug, Default)]
pub(super) struct R1cs {
    /// Number of public inputs, including the constant one.
    pub(super) instance_variables: usize,
    /// Number of all variables.
    pub(super) variables: usize,
    pub(super) a: Matrix<Fr>,
    pub(super) b: Matrix<Fr>,
    pub(super) c: Matrix<Fr>,
}

impl Lc {
    pub(super) const fn zero() -> Self {
        Self(Vec::new())
    }

    pub(super) fn constant(value: Fr) -> Self {
        if value.is_zero() { Self::zero() } else { Self(vec![(value, 0)]) }
    }

    pub(super) fn var(var: Var) -> Self {
        Self(vec![(Fr::one(), var)])
    }

    /// Returns `Σ 2^i * bits[i]`.
    pub(super) fn from_bits(bits: &[Var]) -> Self {
        let mut factor = Fr::one();
        let terms = bits.iter().map(|&bit| {
            let term = (factor, bit);
            factor.double_in_place();
            term
        });
        Self(terms.collect())
    }

    /// Adds `factor * other`.
    #[must_use]
    pub(super) fn plus(mut self, factor: Fr, other: &Self) -> Self {
        self.0.extend(other.0.iter().map(|&(coefficient, var)| (coefficient * factor, var)));
        self
    }

    /// Merges terms of the same variable.
    #[must_use]
    pub(super) fn compact(mut self) -> Self {
        self.0.sort_unstable_by_key(|&(_, var)| var);
        let mut merged: Vec<(Fr, Var)> = Vec::with_capacity(self.0.len());
        for (coefficient, var) in self.0 {
            match merged.last_mut() {
                Some((sum, last_var)) if *last_var == var => *sum += coefficient,
                _ => merged.push((coefficient, var)),
            }
        }
        merged.retain(|(coefficient, _)| !coefficient.is_zero());
        Self(merged)
    }
}

impl R1cs {
    /// Creates a system of public inputs, without witness variables and constraints.
    pub(super) fn new(public: usize) -> Self {
        Self { instance_variables: public + 1, variables: public + 1, ..Self::default() }
    }

    /// Allocates a witness variable.
    pub(super) fn allocate_witness(&mut self) -> Var {
        self.variables += 1;
        self.variables - 1
    }

    pub(super) fn enforce(&mut self, a: Lc, b: Lc, c: Lc) {
        self.a.push(a.compact().0);
        self.b.push(b.compact().0);
        self.c.push(c.compact().0);
    }

    pub(super) fn enforce_equal(&mut self, a: Lc, b: &Lc) {
        self.enforce(a.plus(-Fr::one(), b), Lc::constant(Fr::one()), Lc::zero());
    }

    pub(super) fn constraint_count(&self) -> usize {
        self.a.len()
    }

    pub(super) fn matrices(&self) -> [Matrix<Fr>; 3] {
        [self.a.clone(), self.b.clone(), self.c.clone()]
    }

    /// Returns the first constraint that an assignment violates.
    #[cfg(test)]
    pub(super) fn violated_constraint(&self, assignment: &[Fr]) -> Option<usize> {
        let value = |row: &[(Fr, Var)]| {
            row.iter().map(|&(coefficient, var)| coefficient * assignment[var]).sum::<Fr>()
        };
        (0..self.constraint_count())
            .find(|&row| value(&self.a[row]) * value(&self.b[row]) != value(&self.c[row]))
    }
}

/// Adds the variables and constraints to the key generator's system.
impl ConstraintSynthesizer<Fr> for &R1cs {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> Result<(), SynthesisError> {
        for _ in 1..self.instance_variables {
            let _ = cs.new_input_variable(|| Err(SynthesisError::AssignmentMissing))?;
        }
        for _ in self.instance_variables..self.variables {
            let _ = cs.new_witness_variable(|| Err(SynthesisError::AssignmentMissing))?;
        }
        let combination = |row: &[(Fr, Var)]| {
            let terms = row.iter().map(|&(coefficient, var)| (coefficient, self.variable(var)));
            LinearCombination(terms.collect())
        };
        for ((a, b), c) in self.a.iter().zip(&self.b).zip(&self.c) {
            cs.enforce_r1cs_constraint(|| combination(a), || combination(b), || combination(c))?;
        }
        Ok(())
    }
}

impl R1cs {
    fn variable(&self, var: Var) -> Variable {
        match var.checked_sub(self.instance_variables) {
            Some(witness) => Variable::witness(witness),
            None if var == 0 => Variable::one(),
            None => Variable::instance(var),
        }
    }
}
